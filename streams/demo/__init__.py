"""`make demo`: real shoppers from end to end on the embedded broker. The story is `__main__.py`."""
