"""The outcome agent: joins decisions with what their shoppers did, into `outcomes`, each committed result exactly once.

    decisions ───────┐                         ┌─► outcomes (revision 1 when a window closes, more when it changes)
                     ├─► attribution.py, by    ├─► dead-letters (what names an intervention that was not published)
    behavior-events ─┘   partition, in memory  └─► outcomes-changelog (what is kept of a shopper), and offsets:
                                                   all in one transaction

Side branch of the data flow, a process of its own as the archive agent: `intentflow outcomes`. Several share the
partitions as one consumer group; both topics have the same number, and the range assignor deals partition n of both to
one agent. State lives in memory and is read from the changelog when a partition comes; it is never ahead of a commit,
since an agent whose transaction fails ends.

Time is event time: of a partition, what the slower of the two inputs has come to; decisions that were read to their end
hold nothing up. An event that names an intervention is judged once every decision is read that stood in the log when it
came: whoever reports an intervention has read it, so its decision was committed before.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from models.usable import Bounds
from schemas.codec import Codec
from schemas.columns import plain_rows
from schemas.kafka import bounds, confluent_config, wait_for_broker
from schemas.registry import open_registry
from schemas.settings import Settings
from schemas.topics import ANSWER_S, TopicProblem, Topics
from streams.agent_metrics import Meter
from streams.attribution import Attribution, Refused
from streams.attribution_rows import deeds_of, shopper_of
from streams.claims import LEARNT_FROM
from streams.decode import Decoder
from streams.outcomes_changelog import OutcomeProblem, latest
from streams.outcomes_writer import OutcomeWriter, Step
from streams.side_agents import PASSING, Raw, consumer_config, until_told

RESTORED = 1_000  # rows decoded at a time
WAIT_S = 0.5
_HOUR, _DAY = 3_600_000, 86_400_000  # ms
_CLAIM_COLUMNS = ["decision_id", "user_id", "event_time", "campaign", "kind", "reason", "arm", "cost"]
_CLAIM_COLUMNS += ["intervention_id", "attribution_hours", "coupon_value", "event_id", "learned_version"]
_CLAIM_COLUMNS += LEARNT_FROM

log = logging.getLogger(__name__)


@dataclass
class Part:
    """A partition number of this agent: its shoppers, and how far both topics are read.

    following: next offset by topic, to be committed. read: the same, past what only transactions left there. times: newest
    event time by topic, ms. waiting: (offset of decisions, events to judge when it is reached).
    """

    shoppers: Attribution
    following: dict[str, int]
    read: dict[str, int] = field(default_factory=dict)
    times: Counter[str] = field(default_factory=Counter)
    ended: set[str] = field(default_factory=set)
    waiting: list[tuple[int, list[tuple[str, str]]]] = field(default_factory=list)
    asked: set[tuple[str, str]] = field(default_factory=set)


def run(settings: Settings, until_end: bool = False, close: bool = False, instance: str = "") -> Outcomes:
    """Run an agent until SIGTERM or SIGINT (or the topics' end), for use as a process; returns it with its counts."""
    agent = Outcomes(settings, instance)
    with until_told() as stop:
        agent.run(until_end, close, stop)
    return agent


class Outcomes:
    """One agent. `told` counts outcomes by kind, `refused` dead letters by reason."""

    def __init__(self, settings: Settings, instance: str = "") -> None:
        """instance: a name of this agent alone that stays over its restarts; what it left open is then ended at once."""
        self._settings, self._topics, self._instance = settings, Topics(settings), instance
        self._meter = Meter(settings, "outcomes")
        registry = open_registry(settings)
        limits = Bounds(settings.event_max_age_days, settings.event_max_ahead_s)
        self._decoder = Decoder(Codec(registry, "behavior_event"), limits, int(settings.max_event_bytes))
        self._codec = {name: Codec(registry, name) for name in ("decision", "attribution")}
        self._parts: dict[int, Part] = {}
        # Ends behind what is not committed yet: a commit whose markers are on their way counts as well.
        ends = {"group_id": f"{settings.app_id}-outcomes-ends", "isolation_level": "read_uncommitted"}
        self._newest = Consumer(confluent_config(settings, **ends))
        self._writer = OutcomeWriter(settings, registry, instance)
        self.told, self.refused = self._writer.told, self._writer.refused

    def run(self, until_end: bool = False, close: bool = False, stop: threading.Event | None = None) -> None:
        """Join until `stop` is set, or with `until_end` until both topics were read to their ends; `close`: then tell
        the outcomes of open windows, too, as incomplete.

        Raises TopicProblem for a missing topic, OutcomeProblem or KafkaException when a transaction fails.
        """
        stop = stop or threading.Event()
        wait_for_broker(self._settings)
        self._writer.open()
        # The range assignor deals the same partitions of both topics to one agent.
        config = consumer_config(
            self._settings, "outcomes", self._instance, partition_assignment_strategy="range"
        )
        self._consumer = Consumer(config)
        try:
            self._subscribe()
            self._meter.start(serving=not until_end)
            while not stop.is_set() and not (until_end and self._is_done()):
                self._take(self._meter.read(self._consumer, WAIT_S))
            if close:
                self._publish({number: self._closed(part) for number, part in self._parts.items()})
        finally:
            self._meter.stop()
            self._consumer.close()
            self._newest.close()

    def _subscribe(self) -> None:
        wanted = [self._topics.behavior_events, self._topics.decisions]
        there = self._consumer.list_topics(timeout=ANSWER_S).topics
        missing = [name for name in (*wanted, self._topics.outcomes_changelog) if name not in there]
        if missing:
            raise TopicProblem(f"topics are missing: {', '.join(missing)}; mend: `intentflow topics create`")
        self._consumer.subscribe(wanted, on_assign=self._on_assign, on_revoke=self._on_revoke)

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Read what is kept of each; offsets first: they come only when no transaction over them is open any more."""
        committed = consumer.committed(partitions, timeout=2 * self._settings.transaction_timeout_s)
        following: dict[int, dict[str, int]] = {}
        for place in committed:
            following.setdefault(place.partition, {})[place.topic] = max(place.offset, 0)
        self._assigned(following)

    def _assigned(self, following: Mapping[int, dict[str, int]]) -> None:
        for number, offsets in following.items():
            if len(offsets) != 2:
                raise OutcomeProblem(
                    f"partition {number} of {', '.join(offsets)} came alone: want it of both topics, which must have as "
                    "many partitions; look at `intentflow topics check`"
                )
            self._parts[number] = Part(self._restored(number), offsets)

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        for place in partitions:
            self._parts.pop(place.partition, None)

    def _restored(self, number: int) -> Attribution:
        settings = self._settings
        found = Attribution(
            round(settings.outcome_late_hours * _HOUR), round(settings.outcome_known_days * _DAY)
        )
        kept = [*latest(settings, self._topics.outcomes_changelog, number, self._newest).values()]
        for first in range(0, len(kept), RESTORED):
            for row in self._codec["attribution"].decode_rows(kept[first : first + RESTORED]):
                found.restore(row["user_id"], shopper_of(row))
        return found

    def _is_done(self) -> bool:
        parts = self._parts.values()
        return bool(parts) and all(len(part.ended) == 2 and not part.waiting for part in parts)

    def _take(self, messages: list[Message]) -> None:
        """One step: what came, joined and published."""
        arrived: dict[tuple[int, str], list[Message]] = {}
        for message in messages:
            part, topic = self._parts.get(message.partition() or 0), message.topic() or ""
            error = message.error()
            if error is None and part is not None and (message.offset() or 0) >= part.following[topic]:
                arrived.setdefault((message.partition() or 0, topic), []).append(message)
                part.ended.discard(topic)
            elif error is not None and error.code() == KafkaError._PARTITION_EOF:
                if part is not None:
                    part.ended.add(topic)
                    part.read[topic] = max(part.read.get(topic, 0), message.offset() or 0)
            elif error is not None and error.code() not in PASSING:
                raise KafkaException(error)
        for (number, topic), of_place in arrived.items():
            self._join(self._parts[number], topic, of_place)
        self._publish({number: self._step(number, part) for number, part in self._parts.items()})

    def _join(self, part: Part, topic: str, messages: list[Message]) -> None:
        """Give records of one topic to the partition's shoppers."""
        part.following[topic] = (messages[-1].offset() or 0) + 1
        part.read[topic] = max(part.read.get(topic, 0), part.following[topic])
        if topic == self._topics.decisions:
            decoded = self._codec["decision"].decode([message.value() for message in messages])
            if decoded.bad:
                self._meter.trouble("undecodable")
                log.warning("%d decisions cannot be read: %s", len(decoded.bad), decoded.bad[0].message)
            rows = plain_rows(decoded.batch.select(_CLAIM_COLUMNS))
            part.shoppers.decide(rows)
            newest = max((row["event_time"] for row in rows), default=0)
        else:
            records = [Raw(m.key(), m.value(), m.offset() or 0, m.timestamp()[1]) for m in messages]
            events, _ = self._decoder.decode(records)  # what is bad is the worker's to refuse
            by_offset = {message.offset() or 0: message for message in messages}
            for user, deed in deeds_of(events, by_offset):
                if deed is None:
                    part.shoppers.forget(user)
                else:
                    part.shoppers.do(user, deed)
            newest = int(events.events["time"].max()) if len(events) else 0
        part.times[topic] = max(part.times[topic], newest)

    def _step(self, number: int, part: Part) -> Step:
        refused = self._judge(number, part)
        events, decisions = part.times[self._topics.behavior_events], part.times[self._topics.decisions]
        now = events if self._topics.decisions in part.ended else min(events, decisions)
        outcomes = part.shoppers.advance(now)
        return Step(outcomes, refused, part.shoppers.changes())

    def _judge(self, number: int, part: Part) -> list[Refused]:
        """Refuse what names an intervention that is not there although every decision of that time is."""
        fresh = [key for key in part.shoppers.unresolved if key not in part.asked]
        if fresh:
            _, end = bounds(self._newest, TopicPartition(self._topics.decisions, number), ANSWER_S)
            part.waiting.append((end, fresh))
            part.asked.update(fresh)
        due = [keys for end, keys in part.waiting if part.read.get(self._topics.decisions, 0) >= end]
        part.waiting = [one for one in part.waiting if one[1] not in due]
        found: list[Refused] = []
        for keys in due:
            part.asked.difference_update(keys)
            found += part.shoppers.refuse(keys)
        return found

    @staticmethod
    def _closed(part: Part) -> Step:
        return Step(part.shoppers.close(), [], part.shoppers.changes())

    def _publish(self, steps: Mapping[int, Step]) -> None:
        following = {number: self._parts[number].following for number in steps}
        self._writer.publish(steps, following, self._consumer)
