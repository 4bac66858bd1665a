"""Quix Streams doing the worker's job: a stateful function per event, state in RocksDB with a changelog topic.

State goes in as bytes (no JSON), records too; checkpoints every 5 s, Quix's default. At least once, its default.

Started by bench.peers with the interpreter of bench/peers/quix.lock: `python -m bench.peers.with_quix JOB_FILE`.
"""

from __future__ import annotations

import sys

from quixstreams import Application, State

from bench.peers.job import Job
from bench.peers.one_call import OneCall

ROW = "row"


def run(job: Job) -> None:
    """Until SIGTERM."""
    app = Application(
        broker_address=job.bootstrap,
        consumer_group=job.group,
        auto_offset_reset="earliest",
        processing_guarantee="at-least-once",
        state_dir=f"{job.folder}/state",
        loglevel="WARNING",
    )
    source = app.topic(job.source, key_deserializer="bytes", value_deserializer="bytes")
    target = app.topic(job.predictions, key_serializer="bytes", value_serializer="bytes")
    scorer = OneCall(job)

    def score(value: bytes, state: State) -> bytes | None:
        row, prediction = scorer.handle(state.get_bytes(ROW), value)
        state.set_bytes(ROW, row)
        return prediction

    predictions = app.dataframe(source).apply(score, stateful=True)
    predictions.filter(lambda prediction: prediction is not None).to_topic(target)
    app.run()


if __name__ == "__main__":
    run(Job.read(sys.argv[1]))
