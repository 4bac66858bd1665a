"""`intentflow learn`: runs the learner."""

from __future__ import annotations

from typing import Annotated

import typer

from schemas.settings import Settings
from streams.cli import verb
from streams.cli.agents import counted
from streams.learning import agent

app = verb()


@app.command()
def learn(
    until_end: Annotated[
        bool, typer.Option("--until-end", help="Stop when everything that is there now is learnt.")
    ] = False,
) -> None:
    """Learn from outcomes which arm earns most in which moment, for campaigns whose experiment has `learning`, until Ctrl-C.

    Reads `outcomes`, which `intentflow outcomes` writes, and publishes what is known on `bandits`, which the workers follow.
    One for a shop: when another starts, the one that runs ends.

    \b
    Example:
      intentflow learn
    """
    done = agent.run(Settings.load(), until_end)
    typer.echo(f"learn: {counted(done.learner.counts) or 'nothing new'}")
    for name, state in sorted(done.learner.states.items()):
        typer.echo(f"{name}: version {state.version}, {state.rounds:,} outcomes learnt")
