"""`intentflow topics`: creates, checks and lists the deployment's topics."""

from __future__ import annotations

import typer
from confluent_kafka.admin import AdminClient
from rich.console import Console
from rich.table import Table

from schemas import topics
from schemas.kafka import confluent_config, wait_for_broker
from schemas.settings import Settings
from streams.cli import verb

app = verb(no_args_is_help=True)


@app.callback()
def about() -> None:
    """Create, check and list the topics. Their names, partitions and configurations are fixed by the settings.

    \b
    Example:
      INTENTFLOW_PARTITIONS=8 intentflow topics create
    """


@app.command()
def create() -> None:
    """Create the topics that are missing.

    Then all are checked. Those that exist are left as they are, so it can be run again.
    """
    settings = _connected()
    made = topics.create(settings)
    for name in made:
        typer.echo(f"created {name}")
    topics.check(settings)
    typer.echo(
        f"all {len(topics.catalogue(settings))} topics are in order"
        if not made
        else "all topics are in order"
    )


@app.command()
def check() -> None:
    """Compare the topics with what is needed.

    One line per difference, each with its mend, and exit code 1 if there is any.
    """
    settings = _connected()
    topics.check(settings)
    typer.echo(f"all {len(topics.catalogue(settings))} topics are in order")


@app.command("list")
def list_() -> None:
    """List the topics.

    Partitions as there are and as wanted, and what happens to old records.
    """
    settings = _connected()
    found = AdminClient(confluent_config(settings)).list_topics(timeout=topics.ANSWER_S).topics
    table = Table("topic", "partitions", "old records", box=None, pad_edge=False)
    for spec in topics.catalogue(settings):
        there = len(found[spec.name].partitions) if spec.name in found else 0
        partitions = (
            str(there) if there == spec.partitions else f"{there or 'missing'} (want {spec.partitions})"
        )
        table.add_row(spec.name, partitions, _old(spec))
    Console(soft_wrap=True).print(table)


def _old(spec: topics.TopicSpec) -> str:
    if spec.compacted:
        return "compacted: the last of each key is kept"
    kept = int(spec.config["retention.ms"])
    return "kept for ever" if kept < 0 else f"deleted after {kept / 86_400_000:g} days"


def _connected() -> Settings:
    settings = Settings.load()
    wait_for_broker(settings, 30.0, say=lambda text: typer.echo(text, err=True))
    return settings
