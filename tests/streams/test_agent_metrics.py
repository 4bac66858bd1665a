"""What an agent beside the live path tells of itself: records, lag, troubles, and whether it gets on."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, TopicPartition
from prometheus_client import REGISTRY

from schemas.settings import Settings
from streams import agent_metrics
from streams.agent_metrics import Meter
from streams.archive import Archive
from streams.outcomes import Outcomes
from tests.streams.live import event
from tests.streams.site import Site


class Log:
    """Stands for a consumer of one partition that ends at 10."""

    def __init__(self, *steps: list[Any]) -> None:
        self._steps, self.at, self.mine = list(steps), -1001, True

    def consume(self, most: int, timeout: float) -> list[Any]:
        messages = self._steps.pop(0) if self._steps else []
        self.at = max([self.at, *(m.offset + 1 for m in messages if m.error() is None)])
        return messages

    def assignment(self) -> list[TopicPartition]:
        return [TopicPartition("events", 2)] if self.mine else []

    def position(self, places: list[TopicPartition]) -> list[TopicPartition]:
        return [TopicPartition(one.topic, one.partition, self.at) for one in places]

    def get_watermark_offsets(self, place: TopicPartition, cached: bool) -> tuple[int, int]:
        return 0, 10


def message(offset: int, error: int | None = None) -> Any:
    found = None if error is None else KafkaError(error)
    return SimpleNamespace(topic=lambda: "events", partition=lambda: 2, offset=offset, error=lambda: found)


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def test_it_counts_what_is_read_and_tells_the_lag(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_metrics, "LOOK_S", 0.0)
    end, down = KafkaError._PARTITION_EOF, KafkaError._ALL_BROKERS_DOWN
    log = Log([message(0), message(1)], [message(8), message(10, end)], [message(0, down)], [])
    meter = Meter(settings, "one")
    place = {"agent": "one", "topic": "events", "partition": "2"}
    lags = []
    for _ in range(4):
        meter.read(log, 0.1)  # type: ignore[arg-type]
        lags.append(value("intentflow_agent_lag_records", **place))
    assert lags == [None, 8.0, 0.0, 0.0]
    assert meter.report()[1]["lag_records"] == {"events-2": 0}
    assert value("intentflow_agent_records_total", agent="one", topic="events") == 3
    assert value("intentflow_agent_troubles_total", agent="one", what="all_brokers_down") == 1
    log.mine = False
    meter.read(log, 0.1)  # type: ignore[arg-type]
    assert value("intentflow_agent_lag_records", **place) is None
    assert not meter.report()[1]["ready"]


def test_a_step_that_takes_too_long_makes_it_unhealthy(settings: Settings) -> None:
    assert Meter(settings, "two").report()[0]
    assert not Meter(settings.model_copy(update={"stuck_after_s": 0.0}), "two").report()[0]


def lags(page: str) -> list[int]:
    return list(json.loads(page)["lag_records"].values())


@pytest.mark.embedded
@pytest.mark.parametrize("agent", [Archive, Outcomes])
def test_a_running_agent_serves_its_pages(
    agent: Callable[[Settings], Any], settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    site, name = Site(settings), agent.__name__.lower()  # type: ignore[attr-defined]
    topic = site.topics.behavior_events
    before = value("intentflow_agent_records_total", agent=name, topic=topic) or 0
    site.send([event(user, user) for user in range(20)])
    stop, running = threading.Event(), agent(settings)
    thread = threading.Thread(target=running.run, kwargs={"stop": stop})
    thread.start()

    def page(path: str) -> str:
        marks = [one for one in caplog.messages if "metrics and health on " in one]
        try:
            return (
                urllib.request.urlopen(marks[-1].split(" on ")[1] + path, timeout=5).read().decode()
                if marks
                else ""
            )
        except urllib.error.HTTPError as problem:
            return problem.read().decode()

    line = f'intentflow_agent_records_total{{agent="{name}",topic="{topic}"}} {before + 20}'
    try:
        site.wait(lambda: line in page("/metrics"), line, 30)
        site.wait(lambda: '"ready": true' in page("/ready"), "ready", 30)
        site.wait(lambda: len(lags(page("/health"))) > 3 and not any(lags(page("/health"))), "no lag", 30)
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()


def test_a_port_that_is_taken_is_named_with_its_setting(settings: Settings) -> None:
    one = Meter(settings, "three")
    one.start(True)
    assert one._pages._server is not None
    taken = settings.model_copy(update={"agent_metrics_port": one._pages._server.server_port})
    try:
        with pytest.raises(OSError, match="its own INTENTFLOW_AGENT_METRICS_PORT"):
            Meter(taken, "three").start(True)
    finally:
        one.stop()
