"""PyFlink doing the worker's job: a keyed process function in thread mode, a row per shopper in RocksDB.

Checkpoints every 10 s, incremental, on local disk; offsets are committed with them. At least once. Predictions carry no
key, since PyFlink's Kafka sink takes key and value from the same object; that is less work, not more.

Started by bench.peers with the interpreter of bench/peers/pyflink.lock:
`python -m bench.peers.with_pyflink JOB_FILE FOLDER_WITH_THE_KAFKA_CONNECTOR`.
"""

from __future__ import annotations

import os
import site
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyflink.common import Configuration, Types, WatermarkStrategy
from pyflink.common.serialization import ByteArraySchema
from pyflink.datastream import (
    KeyedProcessFunction,
    RuntimeContext,
    StreamExecutionEnvironment,
)
from pyflink.datastream.connectors.base import DeliveryGuarantee
from pyflink.datastream.connectors.kafka import (
    KafkaOffsetResetStrategy,
    KafkaOffsetsInitializer,
    KafkaRecordSerializationSchema,
    KafkaSink,
    KafkaSource,
)
from pyflink.datastream.state import ValueStateDescriptor

from bench.peers.job import Job
from bench.peers.one_call import OneCall, user

BYTES = Types.PRIMITIVE_ARRAY(Types.BYTE())
ROW = Types.PICKLED_BYTE_ARRAY()  # BYTES of a state would be turned into a tuple of numbers, one by one


class Score(KeyedProcessFunction):
    """The shopper's row is the keyed state."""

    def __init__(self, job_file: str) -> None:
        self._job_file = job_file

    def open(self, runtime_context: RuntimeContext) -> None:
        self._scorer = OneCall(Job.read(self._job_file))
        self._row = runtime_context.get_state(ValueStateDescriptor("row", ROW))

    def process_element(self, value: bytes, ctx: KeyedProcessFunction.Context) -> Iterator[bytes]:
        row, prediction = self._scorer.handle(self._row.value(), value)
        self._row.update(row)
        if prediction is not None:
            yield prediction


def environment(job: Job, connector: Path) -> StreamExecutionEnvironment:
    """One task slot, as one process stands against one process."""
    settings: dict[str, Any] = {
        "python.execution-mode": "thread",
        "python.executable": sys.executable,
        "python.client.executable": sys.executable,
        "pipeline.object-reuse": "true",
        "parallelism.default": "1",
        "state.backend.type": "rocksdb",
        "execution.checkpointing.interval": "10s",
        "execution.checkpointing.mode": "AT_LEAST_ONCE",
        "execution.checkpointing.incremental": "true",
        "execution.checkpointing.storage": "filesystem",
        "execution.checkpointing.dir": Path(job.folder, "checkpoints").as_uri(),
        "taskmanager.memory.managed.size": "512m",
        "restart-strategy.type": "none",
    }
    configuration = Configuration()
    for name, value in settings.items():
        configuration.set_string(name, value)
    flink = StreamExecutionEnvironment.get_execution_environment(configuration)
    flink.add_jars(*(path.as_uri() for path in sorted(connector.glob("*.jar"))))
    return flink


def run(job_file: str, connector: Path) -> None:
    """Until SIGTERM."""
    job = Job.read(job_file)
    # The interpreter inside the JVM is not told of this virtual environment otherwise.
    os.environ["PYTHONPATH"] = os.pathsep.join([os.environ["PYTHONPATH"], *site.getsitepackages()])
    flink = environment(job, connector)  # before the source: it loads the connector's classes
    source = (
        KafkaSource.builder()
        .set_bootstrap_servers(job.bootstrap)
        .set_group_id(job.group)
        .set_topics(job.source)
        .set_starting_offsets(KafkaOffsetsInitializer.committed_offsets(KafkaOffsetResetStrategy.EARLIEST))
        .set_value_only_deserializer(ByteArraySchema())
        .build()
    )
    sink = (
        KafkaSink.builder()
        .set_bootstrap_servers(job.bootstrap)
        .set_record_serializer(
            KafkaRecordSerializationSchema.builder()
            .set_topic(job.predictions)
            .set_value_serialization_schema(ByteArraySchema())
            .build()
        )
        .set_delivery_guarantee(DeliveryGuarantee.AT_LEAST_ONCE)
        .build()
    )
    events = flink.from_source(source, WatermarkStrategy.no_watermarks(), "events")
    events.key_by(user, Types.STRING()).process(Score(job_file), BYTES).sink_to(sink)
    flink.execute(job.group)


if __name__ == "__main__":
    run(sys.argv[1], Path(sys.argv[2]))
