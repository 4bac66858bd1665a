"""What people would use instead, doing the same job on the same events, each a program of its own."""
