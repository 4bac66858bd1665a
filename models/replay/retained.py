"""Reads what Kafka still retains of `behavior-events` between two times or offsets, or of predictions, with a group of
its own.

It assigns partitions itself and commits nothing, so it neither joins nor disturbs the worker's group; it reads committed
records only. Records that do not decode are counted as the live path counts them.
"""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import OFFSET_END, Consumer, KafkaException, Message, TopicPartition

from models.replay.source import Batch, Interval, SourceProblem, iso
from schemas.codec import Codec
from schemas.kafka import bounds, confluent_config, patiently
from schemas.registry import open_registry
from schemas.settings import Settings
from schemas.topics import Topics

TIMEOUT_S = 30.0
BATCH_RECORDS = 10_000


@dataclass
class Span:
    """Offsets [first, stop) of one partition."""

    first: int
    stop: int


def read_events(
    settings: Settings,
    interval: Interval,
    run_id: str,
    dropped: Counter[str],
    offsets: dict[int, tuple[int, int]] | None = None,
) -> Iterator[Batch]:
    """Retained events from the first record that may lie in the interval on, or exactly the offsets given by partition.

    The caller cuts by event time. run_id names the consumer group `<app>-replay-<run_id>`. SourceProblem when the topic
    is missing, holds nothing there, or does not answer.
    """
    topic, codec = Topics(settings).behavior_events, Codec(open_registry(settings), "behavior_event")
    ahead = round(settings.event_max_ahead_s * 1000)
    with _reading(settings, topic, run_id) as consumer:
        spans = _given(offsets) if offsets else _spans(consumer, topic, max(interval.start - ahead, 0))
        for messages in _messages(consumer, topic, spans):
            yield from _decoded(codec, messages, settings.max_event_bytes, dropped)


def read_predictions(settings: Settings, topic: str, run_id: str) -> Iterator[pa.Table]:
    """`read_topic` of one with predictions."""
    return read_topic(settings, topic, "prediction", run_id)


def read_topic(settings: Settings, topic: str, schema: str, run_id: str) -> Iterator[pa.Table]:
    """Everything retained of a topic of this schema, in log order within each partition; nothing when it is empty.

    SourceProblem when the topic is missing or does not answer.
    """
    codec = Codec(open_registry(settings), schema)
    with _reading(settings, topic, run_id) as consumer:
        spans = _spans(consumer, topic, 0, needed=False)
        for messages in _messages(consumer, topic, spans):
            yield pa.Table.from_batches([codec.decode([message.value() for message in messages]).batch])


@contextmanager
def _reading(settings: Settings, topic: str, run_id: str) -> Iterator[Consumer]:
    consumer = Consumer(
        confluent_config(
            settings,
            group_id=f"{settings.app_id}-replay-{run_id}",
            isolation_level="read_committed",
            enable_auto_commit=False,
            enable_auto_offset_store=False,
            auto_offset_reset="error",
        )
    )
    try:
        yield consumer
    except KafkaException as problem:
        raise SourceProblem(
            f"{topic} at {settings.bootstrap_servers}: {problem.args[0].str()}; is Kafka up, and are these offsets "
            "still retained? read the archive instead with --archive"
        ) from problem
    finally:
        consumer.close()


def _given(offsets: dict[int, tuple[int, int]]) -> dict[int, Span]:
    for partition, (first, stop) in offsets.items():
        if stop <= first:
            raise SourceProblem(
                f"offsets {partition}:{first}-{stop} are empty; want PARTITION:FIRST-STOP, STOP after FIRST"
            )
    return {partition: Span(first, stop) for partition, (first, stop) in offsets.items()}


def _spans(consumer: Consumer, topic: str, start: int, needed: bool = True) -> dict[int, Span]:
    """Per partition: from the first record with a timestamp of at least `start` ms to the present end.

    A record can be written long after its event, never much before it: so the end is not cut by time.
    """
    found = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
    if found.error is not None:
        raise KafkaException(found.error)
    asked = [TopicPartition(topic, number, start) for number in sorted(found.partitions)]
    spans = {}
    answers = patiently(lambda: consumer.offsets_for_times(asked, timeout=TIMEOUT_S), TIMEOUT_S)
    for answer in answers:
        low, high = bounds(consumer, TopicPartition(topic, answer.partition), TIMEOUT_S)
        first = high if answer.offset in (OFFSET_END, -1) else max(answer.offset, low)
        if first < high:
            spans[answer.partition] = Span(first, high)
    if needed and not spans:
        raise SourceProblem(
            f"{topic}: nothing retained from {iso(start)} on; choose a later interval or read the archive (--archive)"
        )
    return spans


def _messages(consumer: Consumer, topic: str, spans: dict[int, Span]) -> Iterator[list[Message]]:
    """The records of the spans, as they come."""
    consumer.assign([TopicPartition(topic, number, span.first) for number, span in spans.items()])
    open_, waited = set(spans), time.monotonic()
    while open_:
        messages = consumer.consume(BATCH_RECORDS, timeout=1.0)
        good = []
        for message in messages:
            if message.error() is not None:
                raise KafkaException(message.error())
            number, offset = message.partition(), _number(message.offset())
            if number in open_ and offset < spans[number].stop:
                good.append(message)
        if good:
            waited = time.monotonic()
            yield good
        # Transaction markers take offsets, too: the position, not the last record, says whether the end is reached.
        for place in consumer.position([TopicPartition(topic, number) for number in sorted(open_)]):
            if place.offset >= spans[place.partition].stop:
                open_.discard(place.partition)
        if not messages and time.monotonic() - waited > TIMEOUT_S:
            raise SourceProblem(
                f"{topic}: no record for {TIMEOUT_S:g} s, partitions {sorted(open_)} not read to their end; is Kafka well?"
            )


def _decoded(codec: Codec, messages: list[Message], most: int, dropped: Counter[str]) -> Iterator[Batch]:
    """One batch per partition, in offset order."""
    by_partition: dict[int, list[Message]] = {}
    for message in messages:
        if len(message.value() or b"") > most:
            dropped["oversized"] += 1
        else:
            by_partition.setdefault(_number(message.partition()), []).append(message)
    for number, records in by_partition.items():
        decoded = codec.decode([record.value() for record in records])
        dropped.update(bad.reason for bad in decoded.bad)
        kept = [records[at] for at in decoded.index.tolist()]
        keyed = _keyed(decoded.batch, kept)
        dropped["key_mismatch"] += int((~keyed).sum())
        batch = Batch(
            decoded.batch,
            np.full(len(kept), number, np.int32),
            np.fromiter((_number(record.offset()) for record in kept), np.int64, len(kept)),
            np.fromiter((record.timestamp()[1] for record in kept), np.int64, len(kept)),
        )
        if kept:
            yield batch if keyed.all() else batch.take(np.flatnonzero(keyed))


def _keyed(events: pa.RecordBatch, records: list[Message]) -> Any:
    keys = pa.array([record.key() for record in records], pa.binary())
    same = pc.fill_null(pc.equal(keys, events.column("user_id").cast(pa.binary())), False)
    return same.to_numpy(zero_copy_only=False)


def _number(value: int | None) -> int:
    assert value is not None  # only an error message lacks it, and those were raised before
    return value
