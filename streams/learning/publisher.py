"""Publishes what was learnt: states and the offsets of the outcomes that are in them, in one transaction, or nothing.

One learner a shop: its transactional id is fixed, so that one that starts while another runs takes over, and what the other
still does fails as a whole.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from schemas.codec import Codec
from schemas.registry import Registry
from schemas.settings import Settings
from schemas.topics import ANSWER_S, Topics
from streams.learning.state import Learnt, key
from streams.side_agents import abort, producer_config

log = logging.getLogger(__name__)


class LearningProblem(RuntimeError):
    """The learner cannot go on; nothing since its last record stands, and whoever starts next learns it."""


class Publisher:
    """The transactional producer. Opening it ends what a learner before left open, and that learner."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self._topic, self._policy = Topics(settings).bandits, settings.policy_name
        self._codec = Codec(registry, "bandit")
        self._producer = Producer(producer_config(settings, "learn"))
        self._producer.init_transactions(ANSWER_S)

    def publish(self, states: Iterable[Learnt], offsets: list[TopicPartition], consumer: Consumer) -> None:
        """Raises LearningProblem when it failed: nothing of it stands then."""
        now, read = time.time_ns() // 1_000_000, [place.offset for place in sorted(offsets)]
        rows = [state.row(self._policy, now, read) for state in states]
        try:
            self._producer.begin_transaction()
            for row, value in zip(rows, self._codec.encode_rows(rows), strict=True):
                self._producer.produce(self._topic, value, row["name"].encode(), partition=0)
            self._producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata(), ANSWER_S)
            self._commit()
        except KafkaException as problem:
            abort(self._producer)
            error = problem.args[0]
            if error.code() in (KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH):
                raise LearningProblem(
                    "another learner has taken over: one a shop learns all there is; end one of them"
                ) from problem
            raise LearningProblem(
                f"a transaction failed, nothing of it stands: {error.str()}; start the learner again"
            ) from problem
        for row in rows:
            log.info(
                "%s version %s: %d outcomes",
                key(self._policy, row["campaign"]),
                row["version"],
                row["rounds"],
            )

    def _commit(self) -> None:
        self._producer.commit_transaction(ANSWER_S)
