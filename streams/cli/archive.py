"""`intentflow archive`: runs the archive agent."""

from __future__ import annotations

from typing import Annotated

import typer

from schemas.settings import Settings
from streams import archive as agent

app = typer.Typer(add_completion=False)


@app.command()
def archive(
    until_end: Annotated[
        bool, typer.Option("--until-end", help="Stop when everything that is there now is written.")
    ] = False,
) -> None:
    """Write events, predictions and decisions to Parquet by day, under INTENTFLOW_ARCHIVE_URI, until Ctrl-C.

    The replay job trains from there. Files are named by topic, partition and first offset, so running it again
    overwrites and never doubles.

    \b
    Example:
      INTENTFLOW_ARCHIVE_URI=.intentflow/archive intentflow archive --until-end
    """
    agent.run(Settings.load(), until_end=until_end)
