"""Sending a loader's events to the stream."""

import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from confluent_kafka import Consumer, Message

from schemas import topics
from schemas.codec import Codec
from schemas.kafka import confluent_config
from schemas.registry import open_registry
from schemas.settings import Settings
from streams.loaders.base import SCHEMA, Loader, batch
from streams.loaders.columns import text
from streams.loaders.load import Progress, load


class Made(Loader):
    """One event per second of 1970, by one of seven shoppers each: small enough to compare whole."""

    name = "made"

    def __init__(self, rows: int) -> None:
        self._rows = rows

    def read(self) -> pa.Table:
        numbers = pa.array(range(self._rows), pa.int64())
        return pa.table(
            {
                "time": [n * 1000 + 1000 for n in range(self._rows)],
                "user": [n % 7 for n in range(self._rows)],
                "n": numbers,
            }
        )

    def shape(self, rows: pa.Table) -> pa.RecordBatch:
        return batch(
            rows.num_rows,
            event_id=text(rows["n"]),
            user_id=text(rows["user"]),
            event_type=pa.repeat(pa.scalar("page_view"), rows.num_rows),
            event_time=rows["time"].combine_chunks().cast(pa.timestamp("ms")),
            properties=pa.array([[]] * rows.num_rows, SCHEMA.field("properties").type),
        )


@pytest.fixture
def stream(settings: Settings) -> Settings:
    stream = settings.model_copy(update={"retention_days": 0.0})  # some records carry the time of 1970
    topics.create(stream)
    return stream


def received(settings: Settings, count: int) -> Iterator[tuple[int, dict[str, Any]]]:
    consumer = Consumer(confluent_config(settings, group_id="t", auto_offset_reset="earliest"))
    consumer.subscribe([topics.Topics(settings).behavior_events])
    messages: list[Message] = []
    end = time.monotonic() + 30
    while len(messages) < count and time.monotonic() < end:
        messages += consumer.consume(1000, timeout=1)
    consumer.close()
    rows = Codec(open_registry(settings), "behavior_event").decode_rows([m.value() for m in messages])
    for message, row in zip(messages, rows, strict=True):
        assert message.key() == row["user_id"].encode()
        yield message.timestamp()[1], row


@pytest.mark.embedded
def test_every_event_arrives_once_in_its_shoppers_order(stream: Settings) -> None:
    told: list[Progress] = []
    before = time.time() * 1000
    assert load(stream, Made(40_000), tell=told.append) == 40_000
    assert told[-1].events == 40_000
    assert told[-1].event_time == 40_000_000
    seen: dict[str, int] = {}
    count = 0
    for timestamp, row in received(stream, 40_000):
        number = int(row["event_id"])
        assert number > seen.get(row["user_id"], -1)
        assert timestamp >= before - 1
        seen[row["user_id"]] = number
        count += 1
    assert count == 40_000


@pytest.mark.embedded
def test_a_rate_limit_is_kept_and_record_times_can_be_the_events(stream: Settings) -> None:
    begun = time.monotonic()
    assert load(stream, Made(600), rate=400, event_timestamps=True, tell=lambda _: None) == 600
    assert 1.3 < time.monotonic() - begun < 6
    assert all(timestamp == row["event_time"] for timestamp, row in received(stream, 600))


def test_a_rate_of_nothing_is_refused(settings: Settings) -> None:
    with pytest.raises(ValueError, match="rate is 0"):
        load(settings, Made(1), rate=0)
