"""The learner: what outcomes say of a campaign's arms, published for the workers, each outcome learnt exactly once.

    outcomes ─► learner.py, in memory ─► bandits (compacted: the latest of each campaign)
    policies ─┘                          and offsets, in one transaction every INTENTFLOW_LEARN_INTERVAL_S

Side branch of the data flow, a process of its own: `intentflow learn`, one a shop. It takes all partitions by itself, without
a group's dealing: sums over all shoppers are one record, which two could not write. What is in memory and not published is
lost with the process, its offsets are not committed, and it is read again.
"""

from __future__ import annotations

import logging
import threading
import time

import prometheus_client
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas.codec import Codec
from schemas.columns import plain_rows
from schemas.kafka import confluent_config, wait_for_broker
from schemas.registry import open_registry
from schemas.settings import Settings
from schemas.topics import ANSWER_S, TopicProblem, Topics
from streams.agent_metrics import Meter
from streams.learning.learner import Learner, Row
from streams.learning.policies import Policies
from streams.learning.publisher import LearningProblem, Publisher
from streams.learning.state import Learnt
from streams.outcomes_changelog import latest
from streams.side_agents import PASSING, consumer_config, until_told

OUTCOMES = prometheus_client.Counter(
    "intentflow_learn_outcomes_total", "Outcomes read by the learner, by what became of them", ["what"]
)
WAIT_S = 0.5
_COLUMNS = [
    "policy_version",
    "campaign",
    "arm",
    "event_time",
    "time_zone",
    "scores",
    "propensity",
    "complete",
]
_COLUMNS += ["first_complete", "revenue", "returned", "margin", "coupon_cost", "contact_cost"]

log = logging.getLogger(__name__)


def run(settings: Settings, until_end: bool = False) -> Learning:
    """Learn until SIGTERM or SIGINT (or the topic's end), for use as a process; returns the agent with its counts."""
    agent = Learning(settings)
    with until_told() as stop:
        agent.run(until_end, stop)
    return agent


class Learning:
    """The agent. `learner` has what is known, and its counts."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._topics = settings, Topics(settings)
        self._registry = open_registry(settings)
        self._codec = {name: Codec(self._registry, name) for name in ("outcome", "policy", "bandit")}
        self._meter = Meter(settings, "learn")
        self._policies = Policies()
        self._offsets: dict[int, int] = {}
        self._ended: set[int] = set()
        self._unpublished = False
        ends = {"group_id": f"{settings.app_id}-learn-ends", "isolation_level": "read_uncommitted"}
        self._newest = Consumer(confluent_config(settings, **ends))
        self.learner = Learner(self._policies)

    def run(self, until_end: bool = False, stop: threading.Event | None = None) -> None:
        """Learn until `stop` is set, or with `until_end` until all outcomes are read.

        Raises TopicProblem for a missing topic, LearningProblem when a transaction fails or another learner takes over.
        """
        stop = stop or threading.Event()
        wait_for_broker(self._settings)
        self._check()
        publisher = Publisher(
            self._settings, self._registry
        )  # first: from here on nobody else changes what is read
        self._follow()
        rows = self._known()
        self.learner = Learner(self._policies, map(Learnt.of, rows))
        self._consumer = Consumer(consumer_config(self._settings, "learn", ""))
        try:
            self._assign(max((row["offsets"] for row in rows), key=sum, default=[]))
            self._meter.start(serving=not until_end)
            due = time.monotonic() + self._settings.learn_interval_s
            while not stop.is_set() and not (until_end and self._ended == set(self._offsets)):
                self._take(self._meter.read(self._consumer, WAIT_S))
                if time.monotonic() >= due:
                    self._publish(publisher)
                    self._follow()
                    due = time.monotonic() + self._settings.learn_interval_s
            self._publish(publisher)
        finally:
            self._meter.stop()
            self._consumer.close()
            self._newest.close()

    def _check(self) -> None:
        there = self._newest.list_topics(timeout=ANSWER_S).topics
        wanted = (self._topics.outcomes, self._topics.policies, self._topics.bandits)
        missing = [name for name in wanted if name not in there]
        if missing:
            raise TopicProblem(f"topics are missing: {', '.join(missing)}; mend: `intentflow topics create`")
        self._numbers = sorted(there[self._topics.outcomes].partitions)

    def _follow(self) -> None:
        """The policies as they are published now."""
        name, codec = self._settings.policy_name, self._codec["policy"]
        found = latest(self._settings, self._topics.policies, 0, self._newest)
        mine = [key for key in found if key.partition(b"@")[0] == name.encode()]
        decoded = codec.decode([found[key] for key in mine])
        rows = dict(zip((mine[at] for at in decoded.index.tolist()), plain_rows(decoded.batch), strict=True))
        self._policies.follow(rows.values(), rows.get(name.encode()))

    def _known(self) -> list[Row]:
        """What is published of the campaigns of our policy: rows of schemas/bandit.avsc."""
        found = latest(self._settings, self._topics.bandits, 0, self._newest)
        rows = self._codec["bandit"].decode_rows([*found.values()])
        return [row for row in rows if row["policy"] == self._settings.policy_name]

    def _assign(self, published: list[int]) -> None:
        """Go on where the group has committed, else, as brokers forget groups that were long away, where what is published
        ends: by partition, the same transaction wrote both."""
        places = [TopicPartition(self._topics.outcomes, number) for number in self._numbers]
        # They come only when no transaction over them is open any more.
        committed = self._consumer.committed(places, timeout=2 * self._settings.transaction_timeout_s)
        for place in committed:
            if place.error is not None:
                raise KafkaException(place.error)
            if place.offset < 0 and place.partition < len(published):
                place.offset = published[place.partition]
        if self.learner.states and all(place.offset < 0 for place in committed):
            raise LearningProblem(
                f"{self._topics.bandits}: its records do not say how far {self._topics.outcomes} was read, and the group's "
                "offsets are gone; delete the records, and it is learnt anew"
            )
        self._offsets = {place.partition: max(place.offset, 0) for place in committed}
        self._consumer.assign(
            [TopicPartition(self._topics.outcomes, number, at) for number, at in self._offsets.items()]
        )

    def _take(self, messages: list[Message]) -> None:
        values = []
        for message in messages:
            number, error = message.partition() or 0, message.error()
            if error is None:
                self._offsets[number] = (message.offset() or 0) + 1
                self._ended.discard(number)
                values.append(message.value())
            elif error.code() == KafkaError._PARTITION_EOF:
                self._ended.add(number)
            elif error.code() not in PASSING:
                raise KafkaException(error)
        if not values:
            return
        self._unpublished = True
        decoded = self._codec["outcome"].decode(values)
        if decoded.bad:
            self._meter.trouble("undecodable")
            log.warning("%d outcomes cannot be read: %s", len(decoded.bad), decoded.bad[0].message)
        rows = plain_rows(decoded.batch.select(_COLUMNS))
        versions = {row["policy_version"] for row in rows if row["scores"]}
        if not all(map(self._policies.knows, versions)):
            self._follow()
        before = self.learner.counts.copy()
        self.learner.learn(rows)
        for what, number in (self.learner.counts - before).items():
            OUTCOMES.labels(what).inc(number)

    def _publish(self, publisher: Publisher) -> None:
        """What is new since the last time, and how far it was read."""
        if not self._unpublished:
            return
        places = [TopicPartition(self._topics.outcomes, number, at) for number, at in self._offsets.items()]
        publisher.publish(self.learner.changed(), places, self._consumer)
        self._unpublished = False
