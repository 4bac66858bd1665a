"""Bytewax doing the worker's job: a logic object per shopper in memory, snapshots into its sqlite recovery store.

It keeps its source offsets in that store and commits none to Kafka: its progress shows in what it writes. Snapshots
every 10 s, Bytewax's default. At least once, as its Kafka sink is not transactional.

Started by bench.peers with the interpreter of bench/peers/bytewax.lock: `python -m bench.peers.with_bytewax JOB_FILE`.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from bytewax import operators as op
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main

from bench.peers.job import Job
from bench.peers.one_call import OneCall

SNAPSHOTS = timedelta(seconds=10)

Keyed = tuple[str, bytes]


class Shopper(StatefulBatchLogic[bytes, bytes, bytes]):
    """One shopper's row; the operator is called with the shopper's events of a batch."""

    def __init__(self, scorer: OneCall, row: bytes | None) -> None:
        self._scorer, self._row = scorer, row

    def on_batch(self, values: list[bytes]) -> tuple[list[bytes], bool]:
        made = []
        for value in values:
            self._row, prediction = self._scorer.handle(self._row, value)
            if prediction is not None:
                made.append(prediction)
        return made, StatefulBatchLogic.RETAIN

    def snapshot(self) -> bytes:
        assert self._row is not None  # there is no shopper without an event
        return self._row


def flow(job: Job) -> Dataflow:
    """source -> key by shopper -> score -> predictions."""
    brokers, scorer = job.bootstrap.split(","), OneCall(job)
    dataflow = Dataflow(job.group.replace(".", "_"))
    records = op.input("events", dataflow, KafkaSource(brokers, [job.source]))
    keyed = op.map("key", records, _keyed)
    scored = op.stateful_batch("score", keyed, lambda row: Shopper(scorer, row))
    messages = op.map("message", scored, _message)
    op.output("predictions", messages, KafkaSink(brokers, job.predictions))
    return dataflow


def _keyed(record: KafkaSourceMessage[Any, Any]) -> Keyed:
    return record.key.decode(), record.value


def _message(keyed: Keyed) -> KafkaSinkMessage[bytes, bytes]:
    return KafkaSinkMessage(keyed[0].encode(), keyed[1])


def main() -> None:
    job = Job.read(sys.argv[1])
    recovery = Path(job.folder) / "recovery"
    recovery.mkdir(parents=True)
    init_db_dir(recovery, 1)
    cli_main(flow(job), epoch_interval=SNAPSHOTS, recovery_config=RecoveryConfig(str(recovery)))


if __name__ == "__main__":
    main()
