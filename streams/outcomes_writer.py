"""Publishes what a step of the outcome agent found: everything and the offsets in one transaction, or nothing.

Offsets are committed with the agent's generation in its group, so that the broker takes none from one that lost its
partitions without noticing.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import prometheus_client
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from schemas.codec import Codec
from schemas.registry import Registry
from schemas.settings import Settings
from schemas.topics import ANSWER_S, DEAD_LETTER_MESSAGE_BYTES, Topics
from streams.attribution import Refused
from streams.attribution_rows import dead, shopper_row
from streams.claims import Shopper
from streams.deadletters import dead_letters
from streams.outcomes_changelog import OutcomeProblem
from streams.side_agents import abort, producer_config

OUTCOMES = prometheus_client.Counter("intentflow_outcomes_total", "Outcomes written", ["kind"])
REVISED = prometheus_client.Counter("intentflow_outcomes_revised_total", "Outcomes written again")
REFUSED = prometheus_client.Counter(
    "intentflow_outcomes_refused_total", "Events that named no intervention of their shopper", ["reason"]
)


@dataclass
class Step:
    """What one step publishes of one partition."""

    outcomes: list[dict[str, Any]]
    refused: list[Refused]
    changes: dict[str, Shopper]

    def __bool__(self) -> bool:
        return bool(self.outcomes or self.refused or self.changes)


class OutcomeWriter:
    """The transactional producer. `told` counts outcomes by kind, `refused` dead letters by reason."""

    def __init__(self, settings: Settings, registry: Registry, instance: str) -> None:
        """instance: a name that stays over restarts, so that what was left open is ended at once; empty: none."""
        self._topics = Topics(settings)
        self._codec = {name: Codec(registry, name) for name in ("outcome", "attribution", "dead_letter")}
        name = f"outcomes-{instance or uuid.uuid4()}"
        sizes = {"message_max_bytes": DEAD_LETTER_MESSAGE_BYTES, "linger_ms": 5}
        self._config = producer_config(settings, name, **sizes)
        self._committed: dict[tuple[str, int], int] = {}
        self.told: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    def open(self) -> None:
        """Connect, and end what an agent of the same name left open."""
        self._producer = Producer(self._config)
        self._producer.init_transactions(ANSWER_S)

    def publish(
        self, steps: Mapping[int, Step], following: Mapping[int, Mapping[str, int]], consumer: Consumer
    ) -> None:
        """One transaction, none when there is nothing new. following: next offset by partition and topic.

        Raises OutcomeProblem when it failed: nothing of it stands then, and the agent must give up its state.
        """
        offsets = [
            TopicPartition(topic, number, offset)
            for number, topics in following.items()
            for topic, offset in topics.items()
            if offset
        ]
        mark = {(place.topic, place.partition): place.offset for place in offsets}
        if mark == self._committed and not any(steps.values()):
            return
        self._producer.begin_transaction()
        try:
            for number, step in steps.items():
                self._send(number, step)
            self._producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata(), ANSWER_S)
            self._producer.commit_transaction(ANSWER_S)
        except KafkaException as problem:
            abort(self._producer)
            raise OutcomeProblem(
                f"a transaction failed, nothing of it stands: {problem.args[0].str()}; start the agent again"
            ) from problem
        self._committed = mark
        for step in steps.values():
            self._count(step)

    def _send(self, number: int, step: Step) -> None:
        topics, codec = self._topics, self._codec
        values = codec["outcome"].encode_rows(step.outcomes)
        for row, value in zip(step.outcomes, values, strict=True):
            self._produce(topics.outcomes, number, row["user_id"].encode(), value)
        known = {user: shopper for user, shopper in step.changes.items() if shopper}
        rows = codec["attribution"].encode_rows(shopper_row(*one) for one in known.items())
        kept = dict(zip(known, rows, strict=True))
        for user in step.changes:
            self._produce(topics.outcomes_changelog, number, user.encode(), kept.get(user))
        letters = [dead(one, topics.behavior_events, number) for one in step.refused]
        for key, value in dead_letters(letters, codec["dead_letter"], time.time_ns() // 1_000_000):
            self._produce(topics.dead_letters, number, key, value)

    def _produce(self, topic: str, partition: int, key: bytes | None, value: bytes | None) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key, partition=partition)
                return
            except BufferError:
                self._producer.poll(0.1)

    def _count(self, step: Step) -> None:
        for row in step.outcomes:
            self.told[row["kind"]] += 1
            OUTCOMES.labels(row["kind"]).inc()
            REVISED.inc(row["revision"] > 1)
        for one in step.refused:
            self.refused[one.reason] += 1
            REFUSED.labels(one.reason).inc()
