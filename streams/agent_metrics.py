"""What an agent beside the live path says of itself: records read, lag and troubles, on /metrics, and whether it gets on."""

from __future__ import annotations

import time
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message
from prometheus_client import Counter, Gauge

from schemas.settings import Settings
from streams.pages import Pages
from streams.side_agents import PASSING, POLL_RECORDS

RECORDS = Counter("intentflow_agent_records_total", "Records read", ["agent", "topic"])
LAG = Gauge(
    "intentflow_agent_lag_records", "Records behind the end of the partition", ["agent", "topic", "partition"]
)
TROUBLES = Counter(
    "intentflow_agent_troubles_total", "What went wrong and was outlived, by kind", ["agent", "what"]
)
LOOK_S = 1.0


class Meter:
    """Reads for one agent, and counts what it reads."""

    def __init__(self, settings: Settings, agent: str) -> None:
        self._agent = agent
        self._stuck_after_s, self._begun = settings.stuck_after_s, time.monotonic()
        self._looked = 0.0
        self._lag: dict[tuple[str, int], int] = {}
        self._ended: set[tuple[str, int]] = set()
        setting = "INTENTFLOW_AGENT_METRICS_PORT"
        self._pages = Pages(settings.metrics_host, settings.agent_metrics_port, setting, self.report)

    def start(self, serving: bool) -> None:
        """serving: whether there are pages; what runs to an end and goes again has none. Raises OSError as `Pages`."""
        self._begun = time.monotonic()
        if serving:
            self._pages.start()

    def stop(self) -> None:
        self._pages.stop()
        self._forget(set(self._lag))

    def read(self, consumer: Consumer, wait_s: float) -> list[Message]:
        """What comes within `wait_s`, errors among it, as the consumer gives it. The step before is over."""
        self._begun = time.monotonic()
        if self._begun - self._looked >= LOOK_S:
            self._look(consumer)
            self._looked = self._begun
        messages = consumer.consume(POLL_RECORDS, timeout=wait_s)
        read: dict[tuple[str, int], int] = {}
        for message in messages:
            place, error = (message.topic() or "", message.partition() or 0), message.error()
            if error is None:
                self._ended.discard(place)
                read[place] = read.get(place, 0) + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                self._ended.add(place)
            elif error.code() in PASSING:
                self.trouble(error.name().lower().lstrip("_"))
        for (topic, _), count in read.items():
            RECORDS.labels(self._agent, topic).inc(count)
        return messages

    def trouble(self, what: str) -> None:
        """Something went wrong, and the agent goes on."""
        TROUBLES.labels(self._agent, what).inc()

    def report(self) -> tuple[bool, dict[str, Any]]:
        """(healthy, page): whether a step takes no longer than `stuck_after_s`, and the lag of every partition."""
        passed = time.monotonic() - self._begun
        healthy = passed < self._stuck_after_s
        lag = {f"{topic}-{number}": records for (topic, number), records in sorted(self._lag.items())}
        return healthy, {
            "healthy": healthy,
            "ready": bool(lag),
            "agent": self._agent,
            "seconds_in_step": round(passed, 1),
            "lag_records": lag,
        }

    def _look(self, consumer: Consumer) -> None:
        """The lag of what is assigned, by what the latest fetches said of the ends."""
        try:
            assigned = consumer.position(consumer.assignment())
        except KafkaException:  # a rebalance is under way
            return
        found: dict[tuple[str, int], int] = {}
        for place in assigned:
            name = (place.topic, place.partition)
            if name in self._ended:
                found[name] = 0
            elif place.offset >= 0:  # else nothing has come of it yet
                _, end = consumer.get_watermark_offsets(place, cached=True)
                found[name] = max(0, end - place.offset)
        self._forget(self._lag.keys() - found.keys())
        self._lag = found
        for (topic, number), records in found.items():
            LAG.labels(self._agent, topic, str(number)).set(records)

    def _forget(self, places: set[tuple[str, int]]) -> None:
        self._ended -= places
        for topic, number in places:
            LAG.remove(self._agent, topic, str(number))
