"""`intentflow archive`: runs the archive agent."""

from __future__ import annotations

from typing import Annotated

import typer

from schemas.settings import Settings
from streams import archive as agent
from streams.cli import verb
from streams.cli.agents import Instance, counted

app = verb()


@app.command()
def archive(
    until_end: Annotated[
        bool, typer.Option("--until-end", help="Stop when everything that is there now is written.")
    ] = False,
    instance: Instance = "",
) -> None:
    """Write events, predictions (a challenger's too), decisions and outcomes to Parquet by day, until Ctrl-C.

    They stand under INTENTFLOW_ARCHIVE_URI; the replay job trains from there, and the effect report reads there. Files are
    named by topic, partition and first offset, so running it again overwrites and never doubles.

    \b
    Example:
      INTENTFLOW_ARCHIVE_URI=.intentflow/archive intentflow archive --until-end
    """
    settings = Settings.load()
    done = agent.archive(settings, until_end, instance)
    typer.echo(f"{settings.archive_uri}: {counted(done.rows) or 'nothing new'}")
    if done.skipped:
        typer.echo(f"left out as unusable: {counted(done.skipped)}; see `intentflow tail dead-letters`")
