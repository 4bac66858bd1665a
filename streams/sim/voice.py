"""The made-up site on Kafka: events go out through the codec, interventions come in and are answered.

Its clock is virtual: a step of event time (STEP_MS) at a time, at a pace of one's own. What is answered in a step is what
had come by then, so that a run at another pace, or on a busier machine, is another run; without interventions one seed gives
the same events, ids included.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from confluent_kafka import Consumer, TopicPartition

from models.shop.population import ACTIONS, COUPON_VALUE
from models.shop.site import Site
from schemas.codec import Codec
from schemas.kafka import bounds, confluent_config
from schemas.producer import EventProducer
from schemas.registry import open_registry
from schemas.settings import Settings
from schemas.topics import ANSWER_S, Topics
from streams.sim.shape import shaped, shopper

STEP_MS = 600_000  # of event time
POLLED = 1_000  # interventions taken in at a time


class Voice:
    """A site that sends and hears; use it as a context manager. It hears what is published from its making on."""

    def __init__(self, settings: Settings, site: Site, seed: int) -> None:
        self._site, self._seed = site, seed
        self._events = EventProducer(settings)
        self._codec = Codec(open_registry(settings), "intervention")
        self._consumer = Consumer(
            confluent_config(
                settings,
                group_id=f"sim-{uuid.uuid4()}",  # in no group in truth: partitions are assigned by hand
                enable_auto_commit=False,
                isolation_level="read_committed",
            )
        )
        topic = Topics(settings).interventions
        known = self._consumer.list_topics(topic, ANSWER_S).topics[topic].partitions
        parts = [TopicPartition(topic, number) for number in known]
        for part in parts:
            part.offset = bounds(self._consumer, part, ANSWER_S)[1]
        self._consumer.assign(parts)
        self._ids: list[str] = []
        self._waiting: list[dict[str, Any]] = []  # those that must not be shown yet, or whose shopper is busy
        self.sent, self.heard, self.shown = 0, Counter[str](), Counter[str]()

    def __enter__(self) -> Voice:
        return self

    def __exit__(self, *_: object) -> None:
        self._events.close()
        self._consumer.close()

    def play(
        self,
        until: int,
        day_seconds: float = 0.0,
        tell: Callable[[int], None] | None = None,
        step: int = STEP_MS,
    ) -> None:
        """On to event time `until` (ms). day_seconds: the clock's for a day of the site, 0: as fast as it goes.

        step: of event time (ms), in which nothing is heard.
        tell: called with the event time after each step.
        """
        now, begun = self._site.now, time.monotonic()
        first = now
        while now < until:
            now = min(now + step, until)
            self.step(now)
            if tell is not None:
                tell(now)
            due = begun + (now - first) / 86_400_000 * day_seconds
            time.sleep(max(0.0, due - time.monotonic()))
        self._events.flush()

    def step(self, now: int) -> None:
        """Sends what happens until `now` (ms), then answers what has come."""
        events = self._site.until(now)
        if len(events):
            self._events.send_batch(shaped(events, self.sent, self._seed, self._ids), None)
            self._events.flush()
            self.sent += len(events)
        self._answer(now)

    def _answer(self, now: int) -> None:
        records = self._consumer.consume(POLLED, 0.0 if not self._ids else 0.01)
        fresh = self._codec.decode_rows([one.value() for one in records if one.error() is None])
        self.heard.update(row["kind"] for row in fresh)
        rows = [row for row in [*self._waiting, *fresh] if row["expires_at"] > now]
        due = {
            row["user_id"]: row for row in reversed(rows) if _after(row) <= now
        }  # the first of each shopper
        self._waiting = [row for row in rows if due.get(row["user_id"]) is not row]
        if not due:
            return
        marks = np.arange(len(self._ids), len(self._ids) + len(due))
        self._ids += [row["intervention_id"] for row in due.values()]
        who = np.array([shopper(user) for user in due])
        reached = self._site.answer(who, np.array([action(row) for row in due.values()]), now, marks)
        self.shown.update(row["kind"] for row, there in zip(due.values(), reached, strict=True) if there)


def action(row: dict[str, Any]) -> int:
    """Index in ACTIONS of what an intervention is: of coupons the one of the nearest value."""
    if row["kind"] != "coupon":
        return ACTIONS.index(row["kind"])
    coupons = np.flatnonzero(COUPON_VALUE)
    return int(coupons[np.abs(COUPON_VALUE[coupons] - row["coupon"]["value"]).argmin()])


def _after(row: dict[str, Any]) -> int:
    """Event time (ms) before which it must not be shown."""
    return int(row["push"]["send_after"]) if row["kind"] == "push" else 0
