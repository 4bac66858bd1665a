"""`intentflow outcomes`: runs the outcome agent."""

from __future__ import annotations

from typing import Annotated

import typer

from schemas.settings import Settings
from streams import outcomes as agent
from streams.cli import verb
from streams.cli.agents import Instance, counted

app = verb()


@app.command()
def outcomes(
    until_end: Annotated[
        bool, typer.Option("--until-end", help="Stop when everything that is there now is joined.")
    ] = False,
    close: Annotated[
        bool,
        typer.Option(
            "--close",
            help="With --until-end: tell the outcomes of open windows, too, as if nothing more were to come.",
        ),
    ] = False,
    instance: Instance = "",
) -> None:
    """Join decisions with what their shoppers did within the campaigns' attribution windows, until Ctrl-C.

    Writes to `outcomes`, from which `intentflow effect` tells what campaigns brought. Something that comes late writes an
    outcome again, with a higher revision. Events that name an intervention which was never published go to dead-letters.

    \b
    Example:
      intentflow outcomes --until-end --close
    """
    settings = Settings.load()
    done = agent.run(settings, until_end, close, instance)
    typer.echo(f"outcomes: {counted(done.told) or 'nothing new'}")
    if done.refused:
        typer.echo(f"to dead-letters: {counted(done.refused)}; see `intentflow tail dead-letters`")
