"""`intentflow replay`: hands its arguments to the replay job, a program of its own that cannot emit interventions."""

from __future__ import annotations

import sys

import typer

from models.replay import __main__ as job
from streams.cli import verb

app = verb()


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
)
def replay(context: typer.Context) -> None:
    """Build training sets, train, evaluate, release, backfill: everything after `replay` goes to the replay job."""
    sys.exit(job.main(context.args))
