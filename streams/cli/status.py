"""`intentflow status`: how far the workers are, how fast they go, and what they use."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from confluent_kafka import Consumer, TopicPartition
from rich.console import Console
from rich.table import Table

from models import promotion
from schemas.kafka import confluent_config, patiently
from schemas.settings import Settings
from schemas.topics import ANSWER_S, Topics, catalogue
from streams.cli import verb
from streams.cli.contents import moment
from streams.cli.log import Log
from streams.cli.policies import published

app = verb()


@app.command()
def status(
    seconds: Annotated[
        float, typer.Option(help="How long to watch the commits, for the throughput.", min=0.1)
    ] = 2.0,
) -> None:
    """Show how far behind the workers are, how fast they go, the release and policy in use, and what topics hold.

    Lag is counted from committed offsets, throughput from how these move while it watches.

    \b
    Example:
      intentflow status --seconds 10
    """
    settings, console = Settings.load(), Console(soft_wrap=True, highlight=False)
    with Log(settings) as log:
        _workers(log, settings, seconds, console)
        _in_use(log, settings)
        _health(settings)
        _sizes(log, settings, console)


def _workers(log: Log, settings: Settings, seconds: float, console: Console) -> None:
    topic = Topics(settings).behavior_events
    numbers = log.partitions(topic)
    before, begun = _committed(settings, topic, numbers), time.monotonic()
    time.sleep(seconds)
    after, elapsed = _committed(settings, topic, numbers), time.monotonic() - begun
    table = Table("partition", "committed", "end", "lag", "events/s", box=None, pad_edge=False)
    lags, rates = [], []
    for number, was, now in zip(numbers, before, after, strict=True):
        begin, end = log.bounds(topic, number)
        lags.append(end - (begin if now is None else now))
        rates.append(0.0 if now is None else (now - (was or begin)) / elapsed)
        committed = "none" if now is None else f"{now:,}"
        table.add_row(str(number), committed, f"{end:,}", f"{lags[-1]:,}", f"{rates[-1]:,.0f}")
    table.add_row("all", "", "", f"{sum(lags):,}", f"{sum(rates):,.0f}")
    typer.echo(f"workers of group {settings.app_id} on {topic}")
    console.print(table)


def _committed(settings: Settings, topic: str, partitions: Sequence[int]) -> list[int | None]:
    """Offsets of the workers' group, asked without joining it."""
    consumer = Consumer(
        confluent_config(settings, group_id=settings.app_id, enable_auto_commit=False, log_level=0)
    )
    try:
        places = [TopicPartition(topic, number) for number in partitions]
        found = patiently(lambda: consumer.committed(places, timeout=ANSWER_S), ANSWER_S)
    finally:
        consumer.close()
    return [one.offset if one.offset >= 0 else None for one in found]


def _in_use(log: Log, settings: Settings) -> None:
    standing = promotion.standing(settings)
    release, challenger = standing.champion, standing.challenger
    if release is None:
        typer.echo(
            f"\nrelease  none promoted for model {settings.model_name}: workers wait; see `intentflow models`"
        )
    else:
        typer.echo(
            f"\nrelease  {release.release}, promoted {moment(release.promoted_at)} UTC ({release.note})"
        )
    if challenger is not None:
        typer.echo(
            f"shadow   {challenger.release}, since {moment(challenger.promoted_at)} UTC ({challenger.note})"
        )
    policy = published(log, settings)
    if policy is None:
        typer.echo(
            f"policy   none published as {settings.policy_name}: nothing is decided; see `intentflow policy`"
        )
    else:
        since = moment(policy["published_at"])
        typer.echo(f"policy   {policy['name']} version {policy['version']}, published {since} UTC")


def _health(settings: Settings) -> None:
    if not settings.metrics_port:
        typer.echo(
            "worker   not asked: INTENTFLOW_METRICS_PORT is 0, a free port that only the worker's log names"
        )
        return
    url = f"http://{settings.metrics_host}:{settings.metrics_port}/health"
    page = _page(url)
    if page is None:
        typer.echo(f"worker   no answer at {url}")
        return
    states = ", ".join(f"{number} {one['state']}" for number, one in page["partitions"].items())
    word = "healthy" if page["healthy"] else "NOT healthy"
    typer.echo(f"worker   {word} at {url}: {page['engine']}; partitions: {states or 'none'}")
    challenger = page.get("challenger")
    if challenger is not None and challenger["dropped"]:
        typer.echo(f"         challenger {challenger['release']} dropped: {challenger['dropped']}")
    if page["refused"]:
        typer.echo(f"         refused: {page['refused']}")


def _page(url: str) -> dict[str, Any] | None:
    """The page, also when it comes with 503; None without an answer."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            found: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as problem:
        found = json.load(problem)
    except (OSError, ValueError):
        return None
    return found


def _sizes(log: Log, settings: Settings, console: Console) -> None:
    table = Table("topic", "partitions", "records", box=None, pad_edge=False)
    for spec in catalogue(settings):
        numbers = log.partitions(spec.name)
        bounds = [log.bounds(spec.name, number) for number in numbers]
        table.add_row(spec.name, str(len(numbers)), f"{sum(end - begin for begin, end in bounds):,}")
    typer.echo(
        "\ntopics (records: offsets between the first and the last kept, marks of transactions included)"
    )
    console.print(table)
