"""What lies in topics, read for the command line: bounded, newest first or as it comes, outside the workers' group."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import typer
from aiokafka.partitioner import murmur2
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from schemas.kafka import bounds, confluent_config, wait_for_broker
from schemas.settings import Settings
from schemas.topics import TopicProblem

ANSWER_S = 15.0
POLL_S = 0.05
AT_ONCE = 2_000  # records asked of the client at once
FIRST_CHUNK, LAST_CHUNK = 1_000, 64_000  # offsets per step when reading backwards
Place = tuple[str, int]  # topic, partition


class LogProblem(RuntimeError):
    """A topic could not be read to where it should have been."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it lies in a topic; timestamp: ms since 1970 UTC."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


class Log:
    """Reads committed records of any topic; one read at a time. Use it as a context manager."""

    def __init__(self, settings: Settings, wait_s: float = 10.0) -> None:
        """Raises BrokerAway when none answers within `wait_s`, BrokerRefuses when we are not let in."""
        wait_for_broker(settings, wait_s, say=lambda text: typer.echo(text, err=True))
        self._where = settings.bootstrap_servers
        self._consumer = Consumer(
            confluent_config(
                settings,
                group_id=f"{settings.app_id}-cli",  # librdkafka wants one; assign() joins no group
                enable_auto_commit=False,
                enable_partition_eof=True,
                fetch_wait_max_ms=50,
                log_level=0,  # what matters comes as an exception
            )
        )

    def topics(self) -> set[str]:
        """Names of all topics of the cluster that we may see."""
        return set(self._consumer.list_topics(timeout=ANSWER_S).topics)

    def partitions(self, topic: str) -> range:
        """Partition numbers of a topic. Raises TopicProblem when it is missing."""
        found = self._consumer.list_topics(topic, timeout=ANSWER_S).topics[topic]
        if found.error is not None:
            raise TopicProblem(
                f"topic {topic} at {self._where}: {found.error.str()}; make the topics with `intentflow topics "
                "create`, and look at INTENTFLOW_TOPIC_PREFIX"
            )
        return range(len(found.partitions))

    def partition_of(self, topic: str, key: str) -> int:
        """Partition in which all records of this key lie: murmur2, as every client here places them."""
        hashed: int = murmur2(key.encode()) & 0x7FFFFFFF
        return hashed % len(self.partitions(topic))

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """First offset kept and the one behind the last."""
        return bounds(self._consumer, TopicPartition(topic, partition), ANSWER_S)

    def since(self, topic: str, partition: int, moment: int) -> int:
        """First offset whose record timestamp is `moment` (ms) or later; the end when there is none."""
        (found,) = self._consumer.offsets_for_times(
            [TopicPartition(topic, partition, moment)], timeout=ANSWER_S
        )
        return found.offset if found.offset >= 0 else self.bounds(topic, partition)[1]

    def read(self, starts: Mapping[Place, int], follow: bool = False) -> Iterator[list[Record]]:
        """Records from these offsets on as they come; ends at the ends of all partitions unless `follow`."""
        self._consumer.assign([TopicPartition(topic, number, at) for (topic, number), at in starts.items()])
        pending = set(starts)
        quiet_since = time.monotonic()
        while follow or pending:
            records = []
            for message in self._consumer.consume(AT_ONCE, POLL_S):
                error = message.error()
                if error is None:
                    records.append(_record(message))
                elif error.code() == KafkaError._PARTITION_EOF:
                    pending.discard((str(message.topic()), int(message.partition())))  # type: ignore[arg-type]
                elif not error.retriable():
                    raise KafkaException(error)
                quiet_since = time.monotonic()
            if records:
                yield records
            if pending and time.monotonic() - quiet_since > ANSWER_S:
                raise LogProblem(
                    f"{', '.join(topic for topic, _ in pending)} at {self._where}: no answer within {ANSWER_S:g} s; is "
                    "the broker still up?"
                )

    def between(self, topic: str, partition: int, start: int, end: int) -> Iterator[list[Record]]:
        """Records with start <= offset < end."""
        if start >= end:
            return
        for records in self.read({(topic, partition): start}):
            within = [record for record in records if record.offset < end]
            if within:
                yield within
            if len(within) < len(records) or within[-1].offset == end - 1:
                return

    def newest(
        self, topic: str, partition: int, key: bytes | None = None, back: int | None = None
    ) -> Iterator[Record]:
        """Records of a partition (with this key) from the newest to the oldest; reads no further than it is asked.

        back: so many offsets at most, None = all of them.
        """
        begin, end = self.bounds(topic, partition)
        begin = begin if back is None else max(begin, end - back)
        chunk = FIRST_CHUNK
        while end > begin:
            start = max(begin, end - chunk)
            found = [
                record
                for records in self.between(topic, partition, start, end)
                for record in records
                if key is None or record.key == key
            ]
            yield from reversed(found)
            end, chunk = start, min(4 * chunk, LAST_CHUNK)

    def close(self) -> None:
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _record(message: Any) -> Record:
    return Record(
        message.topic(),
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        message.key(),
        message.value(),
        message.headers() or [],
    )
