"""Plain Faust doing the worker's job event by event: what the Faust documentation leads to, and nothing against it.

An agent decodes each event (fastavro), takes the shopper's row from a RocksDB table with its changelog, makes one model
step with the heads (one call of ONNX Runtime, same release), puts the row back and sends the prediction. At least once,
as Faust does by default. It decides nothing and checks nothing, which is less work than the worker does.

Started by bench.peers: `python -m bench.peers.plain_faust JOB_FILE`; by bench.pipeline without a job, with settings in
the environment as for the worker.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import faust

from bench.peers.export import export
from bench.peers.job import Job
from bench.peers.one_call import OneCall
from schemas.settings import Settings

GROUP = "plain-faust"
PREDICTIONS = f"{GROUP}-predictions"


def create_app(job: Job) -> faust.App:
    """The app, with Faust's defaults but for what the machine dictates (one broker, no standby, no web page)."""
    app = faust.App(
        job.group,
        broker=[f"kafka://{server}" for server in job.bootstrap.split(",")],
        store="rocksdb://?driver=rocksdict",
        datadir=job.folder,
        topic_partitions=job.partitions,
        topic_replication_factor=1,
        topic_disable_leader=True,
        table_standby_replicas=0,
        web_enabled=False,
    )
    scorer = OneCall(job)
    raw = {"key_type": bytes, "value_type": bytes}  # bytes in, bytes out: Faust's own codecs would cost more
    source = app.topic(job.source, value_serializer="raw", **raw)
    target = app.topic(job.predictions, value_serializer="raw", **raw)
    rows = app.Table("rows", partitions=job.partitions, **raw)

    @app.agent(source)
    async def score(events: faust.Stream[bytes]) -> None:
        await target.maybe_declare()
        async for user, value in events.items():
            row, prediction = scorer.handle(rows.get(user), value)
            rows[user] = row
            if prediction is not None:
                await target.send(key=user, value=prediction)

    return app


def main() -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    app = create_app(Job.read(sys.argv[1] if len(sys.argv) > 1 else _exported()))
    faust.Worker(app, loglevel="WARNING", override_logging=False, quiet=True).execute_from_commandline()


def _exported() -> Path:
    settings = Settings.load()
    return export(settings, GROUP, Path(settings.data_dir) / GROUP)


if __name__ == "__main__":
    main()
