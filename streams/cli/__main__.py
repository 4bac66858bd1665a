"""`python -m streams.cli`: the command where it is not installed."""

from streams.cli import main

main()
