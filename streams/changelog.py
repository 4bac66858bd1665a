"""Reads a partition's changelogs on, from the offsets that its store has to their ends, into the store.

A crash between a commit and the local write, a lost disk and a move to another machine are all mended here. librdkafka
fetches while the records before are written: it keeps up with what RocksDB takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas.kafka import bounds, confluent_config
from schemas.settings import Settings
from streams.progress import Progress
from streams.store import CHECKPOINT_KEY, Store

RECORDS = 4_000  # of one write
WAIT_S = 0.2
MANY, AT_ONCE = 20_000, 300_000  # records: from when on, and up to when, the store leaves its files unmerged
NAMES = ("sequences", "contacts")


def read_on(
    settings: Settings,
    store: Store,
    sequences: str,
    contacts: str,
    partition: int,
    progress: Progress,
    stopped: Callable[[], bool] = lambda: False,
) -> int:
    """Bring the store up to the end of both changelog topics; returns the number of records read.

    It blocks: run it in a thread. Call it only after the partition's producer is started: a zombie's last commit is then
    in the log or never will be. Returns early when `stopped()`. Raises KafkaException when the broker refuses.
    """
    with Reader(settings, store, sequences, contacts, partition, progress) as reader:
        return reader.read(stopped)


def written_since(
    settings: Settings, topic: str, partition: int, offset: int, stopped: Callable[[], bool] = lambda: False
) -> bool:
    """Whether a record stands in this partition of a changelog from `offset` on; markers of transactions are none.

    It blocks, and is called and stops as `read_on`. Raises KafkaException when the broker refuses.
    """
    consumer = Consumer(_config(settings))
    try:
        consumer.assign([TopicPartition(topic, partition, offset)])
        while not stopped():
            for message in consumer.consume(1, timeout=WAIT_S):
                error = message.error()
                if error is None or error.code() == KafkaError._PARTITION_EOF:
                    return error is None
                raise KafkaException(error)
        return True
    finally:
        consumer.close()


class Reader:
    """Reads both changelogs of one partition on into a store. A context manager, for one thread."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        sequences: str,
        contacts: str,
        partition: int,
        progress: Progress,
    ) -> None:
        self._store, self._partition, self._progress = store, partition, progress
        self._names = dict(zip((sequences, contacts), NAMES, strict=True))
        self._consumer = Consumer(_config(settings))
        self._at: dict[str, int] = {}  # next offset by topic

    def __enter__(self) -> Self:
        try:
            self._assign()
        except BaseException:
            self._consumer.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def read(self, stopped: Callable[[], bool]) -> int:
        """Up to the ends of both, as they are now; returns the number of records."""
        total = 0
        with ThreadPoolExecutor(1, thread_name_prefix="restore") as writer, ExitStack() as filling:
            if self._progress.to_read - self._progress.read > MANY:
                filling.enter_context(self._store.filling())
            writing: Future[int] | None = None
            for messages in self._chunks(stopped):
                if writing is not None:
                    total += writing.result()
                if total > AT_ONCE:
                    filling.close()
                writing = writer.submit(self._write, messages)
            if writing is not None:
                total += writing.result()
        return total

    def _assign(self) -> None:
        """Start where the store stands."""
        ends = 0
        for topic, name in self._names.items():
            begin, end = bounds(self._consumer, TopicPartition(topic, self._partition), 30.0)
            self._at[topic] = min(max(self._store.meta(name) or 0, begin), end)
            ends += end
        self._progress.reading(sum(self._at.values()), ends)
        self._consumer.assign(
            [TopicPartition(topic, self._partition, offset) for topic, offset in self._at.items()]
        )

    def _write(self, messages: list[Message]) -> int:
        """One WriteBatch with all rows and how far both logs are read now; returns the number of rows."""
        rows: dict[str, dict[bytes, bytes | None]] = {topic: {} for topic in self._names}
        last: dict[str, Message] = {}
        count = 0
        for message in messages:
            topic = str(message.topic())
            last[topic] = message
            if message.error() is None:
                rows[topic][message.key()] = message.value()  # type: ignore[index]
                count += 1
        self._at |= {topic: (found.offset() or 0) + (found.error() is None) for topic, found in last.items()}
        sequences, contacts = rows.values()
        checkpoint = sequences.pop(CHECKPOINT_KEY, None)
        done = {self._names[topic]: self._at[topic] for topic in last}
        self._store.write(sequences, contacts, done, checkpoint)
        self._progress.reading(sum(self._at.values()), self._progress.to_read)
        self._progress.tell(self._partition)
        return count

    def _chunks(self, stopped: Callable[[], bool]) -> Iterator[list[Message]]:
        """Messages until every topic's end; an end is a message with an error that carries its offset."""
        ended: set[str] = set()
        while len(ended) < len(self._names) and not stopped():
            messages = self._consumer.consume(RECORDS, timeout=WAIT_S)
            for message in messages:
                error = message.error()
                if error is None:
                    continue
                if error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                ended.add(str(message.topic()))
            if messages:
                yield messages


def _config(settings: Settings) -> dict[str, object]:
    return confluent_config(
        settings,
        group_id=f"{settings.app_id}-changelogs",
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_partition_eof=True,
        max_partition_fetch_bytes=8 << 20,
        fetch_wait_max_ms=50,
        queued_max_messages_kbytes=32 << 10,  # of memory that one reader may take
    )
