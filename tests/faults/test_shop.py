"""The load comes at its rate, and waits for workers that cannot keep up."""

from __future__ import annotations

import time
from typing import Any, cast

import pytest
from confluent_kafka import KafkaException

from tests.faults import shop
from tests.faults.events import Record
from tests.faults.shop import Shop, Stream, until


class Workers:
    """In place of a shop and its producer: takes what is sent, and says what is committed."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.done = 0
        self.away = False
        self.topics = cast("Any", type("Topics", (), {"behavior_events": "events"}))

    def producer(self) -> Workers:
        return self

    def produce(self, topic: str, value: bytes, key: bytes) -> None:
        self.taken.append(value)

    def poll(self, seconds: float) -> None: ...

    def flush(self, seconds: float) -> int:
        return 0

    def committed(self, patience_s: float) -> dict[int, int]:
        if self.away:
            raise KafkaException("nobody answers")
        return {0: self.done}


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Workers:
    monkeypatch.setattr(shop, "LOOK_S", 0.01)
    monkeypatch.setattr(shop, "BACKLOG", 100)
    return Workers()


def stream(workers: Workers, rate: float) -> Stream:
    records = [Record(b"shopper", str(number).encode(), "") for number in range(1_000)]
    running = Stream(cast("Shop", workers), records, rate)
    running.start()
    return running


def test_records_go_out_once_in_order_and_no_faster_than_the_rate(workers: Workers) -> None:
    begun = time.monotonic()
    running = stream(workers, rate=200.0)
    until(lambda: running.sent >= 50, "50 records", 20.0)
    assert running.end() == len(workers.taken)
    assert len(workers.taken) <= 200.0 * (time.monotonic() - begun)
    assert workers.taken == [str(number).encode() for number in range(len(workers.taken))]


@pytest.mark.parametrize("away", [False, True])
def test_no_more_are_sent_than_may_wait_until_more_are_done(workers: Workers, away: bool) -> None:
    workers.away = away
    running = stream(workers, rate=100_000.0)
    until(lambda: running.sent == 100, "as many as may wait", 20.0)
    time.sleep(0.2)
    assert running.sent == 100
    workers.away, workers.done = False, 70
    until(lambda: running.sent == 170, "as many more as are done", 20.0)
    assert running.end() == 170
