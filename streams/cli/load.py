"""`intentflow load`: sends a data set of real shoppers into behavior-events."""

from __future__ import annotations

from typing import Annotated

import typer

from schemas import topics
from schemas.kafka import wait_for_broker
from schemas.settings import Settings
from streams import loaders
from streams.cli import verb
from streams.cli.times import moment
from streams.loaders.load import load as send

app = verb()


@app.command()
def load(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help=f"One of {', '.join(loaders.LOADERS)}.")],
    start: Annotated[
        str | None, typer.Option("--from", help="Event time of the first event, e.g. 2017-01-01 (UTC).")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", help="Event time before which to stop, e.g. 2017-10-01.")
    ] = None,
    share: Annotated[
        float | None,
        typer.Option(help="Fraction of the shoppers, chosen by a hash of their id; 0.1 = a tenth."),
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="Most events per second.  [default: as fast as Kafka takes them]")
    ] = None,
) -> None:
    """Send a data set of real shoppers into behavior-events, in the order in which things happened.

    completejourney (2,469 households of a grocer over a year) comes with the demo's packages. The others are read
    from the folder that INTENTFLOW_DATA names. Loading the same twice does no harm: events keep their ids.

    \b
    Examples:
      intentflow load completejourney --share 0.1
      intentflow load completejourney --from 2017-10-01 --to 2017-11-01 --rate 500
    """
    if dataset not in loaders.LOADERS:
        raise typer.BadParameter(f"{dataset!r}: want one of {', '.join(loaders.LOADERS)}")
    if share is not None and not 0 < share <= 1:
        raise typer.BadParameter(f"--share {share}: want above 0 and at most 1")
    if rate is not None and rate <= 0:
        raise typer.BadParameter(f"--rate {rate:g}: want events per second above 0")
    first, last = (None if text is None else moment(text) for text in (start, end))
    settings = Settings.load()
    wait_for_broker(settings, 30.0, say=lambda text: typer.echo(text, err=True))
    topics.check(settings)
    sent = send(settings, loaders.open(dataset), first, last, share, rate)
    typer.echo(f"{sent:,} events of {dataset} are in {topics.Topics(settings).behavior_events}")
