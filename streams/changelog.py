"""Reads a partition's changelogs on, from the offsets that its store has to their ends, into the store.

A crash between a commit and the local write, a lost disk and a move to another machine are all mended here. librdkafka
fetches while the records before are written: it keeps up with what RocksDB takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas.kafka import confluent_config
from schemas.settings import Settings
from streams.progress import Progress
from streams.store import CHECKPOINT_KEY, Store

RECORDS = 4_000  # of one write
WAIT_S = 0.2
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
    names = dict(zip((sequences, contacts), NAMES, strict=True))
    consumer = Consumer(_config(settings))
    try:
        starts = _assign(consumer, store, names, partition, progress)
        with ThreadPoolExecutor(1, thread_name_prefix="restore") as writer:
            writing: Future[None] | None = None
            total = 0
            for messages in _chunks(consumer, len(names), stopped):
                if writing is not None:
                    writing.result()
                writing = writer.submit(_write, store, messages, names)
                total += sum(message.error() is None for message in messages)
                read = {str(m.topic()): (m.offset() or 0) + (m.error() is None) for m in messages}
                starts |= read
                progress.reading(sum(starts.values()), progress.to_read)
                progress.tell(partition)
            if writing is not None:
                writing.result()
        return total
    finally:
        consumer.close()


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
    )


def _assign(
    consumer: Consumer, store: Store, names: dict[str, str], partition: int, progress: Progress
) -> dict[str, int]:
    """Start where the store stands; returns these offsets by topic."""
    starts, ends = {}, 0
    for topic, name in names.items():
        begin, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30.0)
        starts[topic] = min(max(store.meta(name) or 0, begin), end)
        ends += end
    progress.reading(sum(starts.values()), ends)
    consumer.assign([TopicPartition(topic, partition, offset) for topic, offset in starts.items()])
    return starts


def _chunks(consumer: Consumer, topics: int, stopped: Callable[[], bool]) -> Iterator[list[Message]]:
    """Messages until every topic's end; an end is a message with an error that carries its offset."""
    ended: set[str] = set()
    while len(ended) < topics and not stopped():
        messages = consumer.consume(RECORDS, timeout=WAIT_S)
        for message in messages:
            error = message.error()
            if error is not None:
                if error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                ended.add(str(message.topic()))
        if messages:
            yield messages


def _write(store: Store, messages: list[Message], names: dict[str, str]) -> None:
    """One WriteBatch with all rows and how far both logs are read now."""
    rows: dict[str, dict[bytes, bytes | None]] = {name: {} for name in NAMES}
    done: dict[str, int] = {}
    for message in messages:
        name = names[str(message.topic())]
        if message.error() is None:
            rows[name][bytes(message.key() or b"")] = message.value()
            done[name] = (message.offset() or 0) + 1
        else:
            done[name] = message.offset() or 0
    checkpoint = rows["sequences"].pop(CHECKPOINT_KEY, None)
    store.write(rows["sequences"], rows["contacts"], done, checkpoint)
