"""Plain Faust doing the worker's job event by event: what the Faust documentation leads to, and nothing against it.

An agent decodes each event (fastavro), takes the shopper's row from a RocksDB table with its changelog, makes one model
step and the heads (ONNX Runtime, same release), puts the row back and sends the prediction. At least once, as Faust
does by default. It decides nothing and checks nothing, which is less work than the worker does.

Started by bench.pipeline: `python -m bench.peers.plain_faust`, with settings in the environment as for the worker.
"""

from __future__ import annotations

import io
import json
import logging
import sys
from pathlib import Path

import fastavro
import faust

from bench.peers.one_event import OneEvent
from models import promotion
from models.engine import load
from schemas import avro
from schemas.registry import open_registry
from schemas.settings import Settings
from schemas.topics import Topics

GROUP = "plain-faust"
PREDICTIONS = f"{GROUP}-predictions"
HEADER = 5  # bytes of the Confluent wire format before the Avro body


def create_app(settings: Settings) -> faust.App:
    """The app, with Faust's defaults but for what the machine dictates (one broker, no standby, no web page)."""
    folder = Path(settings.data_dir) / GROUP
    folder.mkdir(parents=True, exist_ok=True)
    app = faust.App(
        GROUP,
        broker=[f"kafka://{server}" for server in settings.bootstrap_servers.split(",")],
        store="rocksdb://?driver=rocksdict",
        datadir=str(folder),
        topic_partitions=settings.partitions,
        topic_replication_factor=1,
        topic_disable_leader=True,
        table_standby_replicas=0,
        web_enabled=False,
    )
    promoted = promotion.promoted(settings)
    if promoted is None:
        raise RuntimeError("no release is promoted; bench.deployment.deploy does it")
    release = promoted.open()
    scorer = OneEvent(load(release.uri), release.card.features, settings.ring_events)
    reading, writing = _schema("behavior_event"), _schema("prediction")
    header = b"\0" + open_registry(settings).id_of("prediction").to_bytes(4, "big")
    raw = {"key_type": bytes, "value_type": bytes}  # bytes in, bytes out: Faust's own codecs would cost more
    source = app.topic(Topics(settings).behavior_events, value_serializer="raw", **raw)
    target = app.topic(PREDICTIONS, value_serializer="raw", **raw)
    rows = app.Table("rows", partitions=settings.partitions, **raw)

    @app.agent(source)
    async def score(events: faust.Stream[bytes]) -> None:
        await target.maybe_declare()
        async for user, value in events.items():
            event = fastavro.schemaless_reader(io.BytesIO(value[HEADER:]), reading, None)
            row, prediction = scorer.score(rows.get(user), event)
            rows[user] = row
            if prediction is not None:
                out = io.BytesIO()
                out.write(header)
                fastavro.schemaless_writer(out, writing, prediction)
                await target.send(key=user, value=out.getvalue())

    return app


def _schema(name: str) -> dict[str, object]:
    return fastavro.parse_schema(avro.without_logical_types(json.loads(avro.current(name))))  # type: ignore[return-value]


def main() -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    app = create_app(Settings.load())
    faust.Worker(app, loglevel="WARNING", override_logging=False, quiet=True).execute_from_commandline()


if __name__ == "__main__":
    main()
