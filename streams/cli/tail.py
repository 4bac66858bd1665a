"""`intentflow tail`: the records of a topic, decoded."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import islice
from typing import Annotated

import typer

from schemas.settings import Settings
from streams.cli import verb
from streams.cli.contents import Contents
from streams.cli.log import Log, Place, Record
from streams.cli.times import milliseconds, moment

app = verb()
LAST = 10


@app.command()
def tail(
    topic: Annotated[
        str, typer.Argument(metavar="TOPIC", help="Without the prefix: behavior-events, predictions, …")
    ],
    user: Annotated[
        str | None, typer.Option(help="Only records with this key, i.e. of this shopper.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", help="beginning, end (then it follows), or a time such as 2026-03-01T12:00Z."),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option("-n", help=f"So many records; without --from the last ones.  [default: {LAST}]", min=1),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with new records until Ctrl-C.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per record.")] = False,
) -> None:
    """Show the records of a topic, decoded: by default the last ten.

    A line is: record time (UTC), partition@offset, key, fields. With --json times are milliseconds since 1970 UTC and
    bytes are base64.

    \b
    Examples:
      intentflow tail interventions                        the last ten
      intentflow tail decisions --user 718 -n 3            the last three about shopper 718
      intentflow tail predictions --from end               what comes from now on, until Ctrl-C
      intentflow tail behavior-events --from 2026-03-01 -n 100 --json
    """
    settings = Settings.load()
    contents = Contents(settings, topic)
    show = contents.json if as_json else contents.line
    with Log(settings) as log:
        batches = (
            _last(log, contents, user, count or LAST, follow)
            if start is None
            else _since(log, contents, user, start, follow)
        )
        left = count if start is not None else None
        for records in batches:
            for content in contents.decode(records[:left]):
                typer.echo(show(content))
            left = None if left is None else left - len(records)
            if left is not None and left <= 0:
                return


def _places(log: Log, contents: Contents, user: str | None) -> list[Place]:
    if user is not None and contents.keyed_by_shopper:
        return [(contents.topic, log.partition_of(contents.topic, user))]
    return [(contents.topic, number) for number in log.partitions(contents.topic)]


def _last(log: Log, contents: Contents, user: str | None, count: int, follow: bool) -> Iterator[list[Record]]:
    """The last records over all partitions by time, and then, if asked, those that come after them."""
    places = _places(log, contents, user)
    ends = {place: log.bounds(*place)[1] for place in places}
    key = None if user is None else user.encode()
    newest = [list(islice(log.newest(*place, key), count)) for place in places]
    merged = heapq.merge(*newest, key=lambda record: record.timestamp, reverse=True)
    last = list(islice(merged, count))[::-1]
    if last:
        yield last
    if follow:
        yield from _of(user, log.read(ends, follow=True))


def _since(
    log: Log, contents: Contents, user: str | None, start: str, follow: bool
) -> Iterator[list[Record]]:
    """Records from a start on; from the end on there is nothing yet, so it follows."""
    offsets = {}
    for topic, number in _places(log, contents, user):
        if start in ("beginning", "end"):
            offsets[topic, number] = log.bounds(topic, number)[start == "end"]
        else:
            offsets[topic, number] = log.since(topic, number, milliseconds(moment(start)))
    yield from _of(user, log.read(offsets, follow or start == "end"))


def _of(user: str | None, batches: Iterator[list[Record]]) -> Iterator[list[Record]]:
    key = None if user is None else user.encode()
    for records in batches:
        found = records if key is None else [record for record in records if record.key == key]
        if found:
            yield found
