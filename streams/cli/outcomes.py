"""`intentflow outcomes`: runs the outcome agent."""

from __future__ import annotations

from typing import Annotated

import typer

from schemas.settings import Settings
from streams import outcomes as agent
from streams.cli import verb

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
    instance: Annotated[
        str,
        typer.Option(
            help="Name of this agent alone, the same after a restart: it then takes over at once after a crash."
        ),
    ] = "",
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
    typer.echo(f"outcomes: {_counts(done.told) or 'nothing new'}")
    if done.refused:
        typer.echo(f"to dead-letters: {_counts(done.refused)}; see `intentflow tail dead-letters`")


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in sorted(counts.items()))
