"""`intentflow replay`: hands its arguments to the replay job, a program of its own that cannot emit interventions."""

from __future__ import annotations

import runpy
import sys

import typer

from streams.cli import verb

app = verb()


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
)
def replay(context: typer.Context) -> None:
    """Build training sets, train, evaluate, release, backfill: the same as `python -m models.replay ...`."""
    sys.argv = ["intentflow replay", *context.args]
    runpy.run_module("models.replay", run_name="__main__")
