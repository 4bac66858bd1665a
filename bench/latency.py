"""End-to-end latency at a fixed rate: from when an event was due to be sent to when its prediction could be read.

Events are sent on a schedule that waits for nobody, and each is timed from its place in the schedule: when anything
stalls, the events that it held up count with their whole wait (no coordinated omission). The reader is a
read_committed consumer in a process of its own, so what it sees is what a marketing system would see.
"""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from confluent_kafka import OFFSET_END, Consumer, Message, Producer, TopicPartition

from bench.workload import Workload, number_of
from schemas.codec import Codec
from schemas.kafka import confluent_config
from schemas.registry import open_registry
from schemas.settings import Settings
from schemas.topics import Topics

LINGER_MS = 1  # of the producer; its default of 20 ms would be most of what is measured
PAUSE_S = 0.001
DRAIN_S = 30.0  # how long the last predictions may take
TAIL_S = 0.5  # after the last prediction: interventions come in the same transaction, on another topic

Arrived = tuple[np.ndarray, np.ndarray]  # what names the event, and when (monotonic seconds) it could be read


def measure(settings: Settings, workload: Workload, rate: float) -> dict[str, Any]:
    """Sends the workload at `rate` events/s; latencies in ms of its predictions and interventions.

    Raises RuntimeError when predictions are missing 30 s after the last event.
    """
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    reader = multiprocessing.get_context("spawn").Process(
        target=_read, args=(settings, workload.events, theirs), daemon=True
    )
    reader.start()
    try:
        schema = Codec(open_registry(settings), "behavior_event")
        records = _encoded(workload, schema)
        _receive(ours, 60.0)  # the reader stands at the end of its topics
        begun = time.monotonic() + 0.2
        _send(settings, records, begun, rate)
        ours.send(time.monotonic() + DRAIN_S)
        arrived: dict[str, Arrived] = dict(_receive(ours, 2 * DRAIN_S + 60.0))
    finally:
        reader.terminate()
    return _figures(workload, rate, begun, arrived)


def _figures(workload: Workload, rate: float, begun: float, arrived: dict[str, Arrived]) -> dict[str, Any]:
    numbers, moments = arrived["prediction"]
    mine = (numbers >= workload.first) & (numbers < workload.first + workload.events)
    places, moments = numbers[mine] - workload.first, moments[mine]
    missing = workload.events - len(np.unique(places))
    if missing:
        raise RuntimeError(
            f"{missing} of {workload.events} predictions are missing {DRAIN_S:g} s after the last event"
        )
    figures: dict[str, Any] = {"rate_per_s": rate, "events": workload.events}
    figures |= _quantiles("prediction", moments - begun - places / rate)
    # An intervention names its event by the time of it, and here that rises evenly: good to a millisecond.
    times, moments = arrived["intervention"]
    figures["interventions"] = len(times)
    if len(times):
        places = workload.events * (1 - (workload.end - times) / (workload.days * 86_400_000)) - 1
        figures |= _quantiles("intervention", moments - begun - np.maximum(places, 0) / rate)
    return figures


def _quantiles(name: str, seconds: np.ndarray) -> dict[str, float]:
    found = np.quantile(seconds * 1000, [0.5, 0.99, 1.0])
    return {
        f"{name}_{part}_ms": float(value) for part, value in zip(("p50", "p99", "max"), found, strict=True)
    }


def _encoded(workload: Workload, codec: Codec) -> list[tuple[str, bytes]]:
    records: list[tuple[str, bytes]] = []
    for batch in workload.batches(codec.arrow_schema):
        records += zip(batch.column("user_id").to_pylist(), codec.encode(batch), strict=True)
    return records


def _send(settings: Settings, records: list[tuple[str, bytes]], begun: float, rate: float) -> None:
    producer = Producer(
        confluent_config(
            settings,
            enable_idempotence=True,
            partitioner="murmur2_random",
            compression_type=settings.compression,
            linger_ms=LINGER_MS,
        )
    )
    topic, sent = Topics(settings).behavior_events, 0
    while sent < len(records):
        due = min(int((time.monotonic() - begun) * rate) + 1, len(records))
        for key, value in records[sent : max(due, sent)]:
            producer.produce(topic, value=value, key=key)
        sent = max(due, sent)
        producer.poll(0)
        time.sleep(PAUSE_S)
    if producer.flush(DRAIN_S):
        raise RuntimeError(f"the broker did not take all events within {DRAIN_S:g} s")


def _receive(pipe: Connection, timeout_s: float) -> Any:
    if not pipe.poll(timeout_s):
        raise RuntimeError(f"the reader of the latency measurement did not answer within {timeout_s:g} s")
    return pipe.recv()


def _read(settings: Settings, events: int, pipe: Connection) -> None:
    """The reader: note when each record came, decode afterwards."""
    topics = Topics(settings)
    consumer = Consumer(
        confluent_config(
            settings,
            group_id=f"{settings.app_id}-latency",
            enable_auto_commit=False,
            isolation_level="read_committed",
            fetch_wait_max_ms=100,
        )
    )
    names = {topics.predictions: "prediction", topics.interventions: "intervention"}
    consumer.assign(
        [TopicPartition(name, number, OFFSET_END) for name in names for number in range(settings.partitions)]
    )
    consumer.poll(3.0)  # nothing is sent yet: positions are found and fetches stand by
    pipe.send("ready")
    came: dict[str, list[tuple[float, bytes]]] = {name: [] for name in names.values()}
    until = float("inf")
    while time.monotonic() < until:
        message: Message | None = consumer.poll(0.1)
        if message is not None and message.error() is None:
            came[names[str(message.topic())]].append((time.monotonic(), bytes(message.value() or b"")))
        elif pipe.poll():
            until = pipe.recv()
        if len(came["prediction"]) == events:
            until = min(until, time.monotonic() + TAIL_S)
    consumer.close()
    registry = open_registry(settings)
    pipe.send([(name, _column(Codec(registry, name), records)) for name, records in came.items()])


def _column(codec: Codec, records: list[tuple[float, bytes]]) -> Arrived:
    """A prediction's event by number, an intervention's by time, ms."""
    moments = np.array([moment for moment, _ in records])
    if codec.name == "prediction":
        ids = codec.decode([value for _, value in records]).batch.column("event_id").to_pylist()
        return np.array([number_of(event_id) for event_id in ids], np.int64), moments
    rows = codec.decode_rows([value for _, value in records])
    return np.array([row["event_time"] for row in rows], np.float64), moments
