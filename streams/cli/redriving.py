"""Puts dead letters back: records and progress in one transaction, so that no letter goes back twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from schemas.kafka import confluent_config, patiently
from schemas.settings import Settings
from schemas.topics import ANSWER_S, DEAD_LETTER_MESSAGE_BYTES
from streams.cli.contents import Content, Contents
from streams.cli.log import Log
from streams.cli.mends import Mends


class RedriveProblem(RuntimeError):
    """Kafka did not take what was to be put back; nothing of that portion was, and it is tried again next time."""


@dataclass(frozen=True)
class Progress:
    """How far one partition of dead-letters is done: everything below `floor`, and by reason what lies beyond it.

    It is kept as the group's committed offset, and its metadata as JSON.
    """

    floor: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, committed: TopicPartition) -> Self:
        return cls(max(committed.offset, 0), json.loads(committed.metadata or "{}"))

    def next(self, reason: str | None) -> int:
        """First offset not done for the reason; None = all reasons."""
        return self.floor if reason is None else max(self.floor, self.reasons.get(reason, 0))

    def after(self, reason: str | None, offset: int) -> Progress:
        """With everything of the reason below `offset` done."""
        if reason is not None:
            return replace(self, reasons={**self.reasons, reason: max(offset, self.next(reason))})
        floor = max(offset, self.floor)
        return Progress(floor, {name: at for name, at in self.reasons.items() if at > floor})

    def at(self, topic: str, partition: int) -> TopicPartition:
        """As it is committed."""
        return TopicPartition(topic, partition, self.floor, json.dumps(self.reasons))


class Redrive:
    """One run over the letters that are there when it begins. reason None: all; limit None: no limit."""

    def __init__(
        self,
        log: Log,
        settings: Settings,
        mends: Mends,
        reason: str | None = None,
        limit: int | None = None,
        dry: bool = False,
    ) -> None:
        self._log, self._mends, self._reason, self._limit, self._dry = log, mends, reason, limit, dry
        self._letters = Contents(settings, "dead-letters")
        self._group = Consumer(
            confluent_config(
                settings, group_id=f"{settings.app_id}-redrive", enable_auto_commit=False, log_level=0
            )
        )
        self._producer = Producer(_producer_config(settings))
        self._there = log.topics()
        self._outcomes: Counter[str] = Counter()
        self._sent = 0

    def run(self) -> Counter[str]:
        """Counts of letters by what came of them. Raises RedriveProblem."""
        topic = self._letters.topic
        try:
            numbers = self._log.partitions(topic)
            if not self._dry:
                self._producer.init_transactions(
                    ANSWER_S
                )  # ends what a run that died left open; fences another
            places = [TopicPartition(topic, number) for number in numbers]
            committed = patiently(lambda: self._group.committed(places, timeout=ANSWER_S), ANSWER_S)
            for place in committed:
                if not self._is_full():
                    self._partition(place.partition, Progress.of(place))
        except KafkaException as problem:
            raise RedriveProblem(
                f"{topic}: {problem.args[0].str()}; what was put back before stays counted, run it again for the rest"
            ) from None
        finally:
            self._group.close()
        return self._outcomes

    def _partition(self, number: int, progress: Progress) -> None:
        begin, end = self._log.bounds(self._letters.topic, number)
        start = max(begin, progress.next(self._reason))
        for records in self._log.between(self._letters.topic, number, start, end):
            contents = self._letters.decode(records)
            taken = self._due(contents, progress)
            done = contents[-1].record.offset + 1
            if self._is_full():
                done = taken[-1].record.offset + 1
            progress = progress.after(self._reason, done)
            self._transaction(taken, progress.at(self._letters.topic, number))
            if self._is_full():
                return

    def _due(self, contents: Sequence[Content], progress: Progress) -> list[Content]:
        """The letters of this portion that are to be put back, up to the limit."""
        taken = []
        for content in contents:
            if content.row is None:
                self._outcomes["passed over: no readable dead letter"] += 1
            elif self._reason in (None, content.row["reason"]):
                if content.record.offset < progress.next(content.row["reason"]):
                    continue  # done by an earlier run for this reason alone
                taken.append(content)
                self._sent += 1
                if self._is_full():
                    break
        return taken

    def _is_full(self) -> bool:
        return self._limit is not None and self._sent >= self._limit

    def _transaction(self, contents: Sequence[Content], progress: TopicPartition) -> None:
        """Send these letters and commit the progress, both or neither."""
        outcomes: Counter[str] = Counter()
        if not self._dry:
            self._producer.begin_transaction()
        try:
            for content in contents:
                outcomes[self._send(content)] += 1
            if not self._dry:
                group = self._group.consumer_group_metadata()
                self._producer.send_offsets_to_transaction([progress], group, ANSWER_S)
                self._producer.commit_transaction(ANSWER_S)
        except BaseException:
            if not self._dry:
                self._producer.abort_transaction(ANSWER_S)
            raise
        self._outcomes += outcomes

    def _send(self, content: Content) -> str:
        """Put one letter back, or leave it in dead-letters behind the others; returns which."""
        letter, record = content.row, content.record
        assert letter is not None
        judged = self._mends.judge(letter["value"], letter["timestamp"])
        refused = judged.refused if letter["topic"] in self._there else f"there is no topic {letter['topic']}"
        if refused:
            # Not a hole in the progress but a letter anew: another run, with another mend, finds it.
            self._produce(
                self._letters.topic, record.key, record.value, record.timestamp, [], record.partition
            )
            return f"left in dead-letters: {refused}"
        key = letter["key"] if judged.user_id is None else judged.user_id.encode()
        headers = [(header["name"], header["value"]) for header in letter["headers"]]
        self._produce(letter["topic"], key, judged.value, letter["timestamp"], headers, letter["partition"])
        mended = ", mended" if judged.value != letter["value"] else ""
        return f"put back into {letter['topic']}{mended}: {letter['reason']}"

    def _produce(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        timestamp: int,
        headers: list[tuple[str, bytes | None]],
        partition: int,
    ) -> None:
        if self._dry:
            return
        # A record without a key, or left where it was, keeps its partition; else the key places it.
        fixed: dict[str, Any] = (
            {"partition": partition} if key is None or topic == self._letters.topic else {}
        )
        arguments: dict[str, Any] = {
            "key": key,
            "value": value,
            "timestamp": max(timestamp, 0),
            "headers": headers,
        } | fixed
        while True:
            try:
                self._producer.produce(topic, **arguments)
                return
            except BufferError:
                self._producer.poll(0.1)


def _producer_config(settings: Settings) -> dict[str, Any]:
    return confluent_config(
        settings,
        transactional_id=f"{settings.app_id}-redrive",
        transaction_timeout_ms=int(settings.transaction_timeout_s * 1000),
        partitioner="murmur2_random",
        compression_type=settings.compression,
        message_max_bytes=DEAD_LETTER_MESSAGE_BYTES,
        log_level=0,
    )
