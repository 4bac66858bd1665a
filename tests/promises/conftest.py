"""The command line's fixtures, for the rows that are kept by commands."""

from tests.streams.cli.conftest import run, shop

__all__ = ["run", "shop"]
