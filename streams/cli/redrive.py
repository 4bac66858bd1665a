"""`intentflow redrive`: puts records from dead-letters back into their topic, mended."""

from __future__ import annotations

from typing import Annotated

import typer

from schemas.settings import Settings
from streams.cli import verb
from streams.cli.log import Log
from streams.cli.mends import Mends
from streams.cli.redriving import Redrive

app = verb()


@app.command()
def redrive(
    reason: Annotated[
        str | None, typer.Option(help="Only letters with this reason code, e.g. bad_number.  [default: all]")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Put back at most so many.", min=1)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="Mend a field; again for more. Nothing behind = empties it; properties.NAME=VALUE mends a property; "
            "event_time=timestamp takes the record's own time.",
        ),
    ] = None,
) -> None:
    """Put records from dead-letters back into the topic that they came from.

    Without --set the original bytes go back as they are: right after the worker, a setting or the schema registry was
    mended. With --set the decoded record is changed first; what does not decode, or would still be refused, stays in
    dead-letters. Records are keyed by their user_id, and keep their headers and their original timestamp.

    Every letter goes back once: progress is kept by the consumer group APP_ID-redrive, for each reason by itself, in
    the same transaction as the records. What is refused again comes back as a new letter.

    \b
    Examples:
      intentflow tail dead-letters                                 what is there, and why
      intentflow redrive --reason bad_number --set price= --dry-run
      intentflow redrive --reason bad_number --set price=
      intentflow redrive --reason oversized                        after INTENTFLOW_MAX_EVENT_BYTES was raised
    """
    settings = Settings.load()
    mends = Mends(settings, sets or [])
    with Log(settings) as log:
        outcomes = Redrive(log, settings, mends, reason, limit, dry_run).run()
    if not outcomes:
        typer.echo("nothing to put back")
    for outcome, number in sorted(outcomes.items()):
        typer.echo(f"{number:,} {outcome}")
    if dry_run:
        typer.echo("dry run: nothing was changed")
