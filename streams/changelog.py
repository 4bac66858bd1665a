"""Reads a partition's changelog on, from the offset that its store has to the end, into the store.

A crash between a commit and the local write, a lost disk and a move to another machine are all mended here.
"""

from __future__ import annotations

from collections.abc import Callable

import aiokafka
from aiokafka.structs import TopicPartition

from schemas.kafka import aiokafka_config
from schemas.settings import Settings
from streams.store import CHECKPOINT_KEY, Store

ROWS = 5_000  # changelog records per write


async def read_on(
    settings: Settings,
    store: Store,
    sequences: TopicPartition,
    contacts: TopicPartition,
    say: Callable[[str], None],
) -> int:
    """Bring the store up to the end of both changelogs; returns the number of records read.

    Call it only after the partition's producer is started: a zombie's last commit is then in the log or never will be.
    """
    total = 0
    for name, tp in (("sequences", sequences), ("contacts", contacts)):
        consumer = aiokafka.AIOKafkaConsumer(
            **aiokafka_config(settings),
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=8 << 20,
            fetch_max_wait_ms=100,
        )
        await consumer.start()
        try:
            total += await _read(consumer, store, name, tp, say)
        finally:
            await consumer.stop()
    return total


async def _read(
    consumer: aiokafka.AIOKafkaConsumer,
    store: Store,
    name: str,
    tp: TopicPartition,
    say: Callable[[str], None],
) -> int:
    consumer.assign([tp])
    begin = (await consumer.beginning_offsets([tp]))[tp]
    end = (await consumer.end_offsets([tp]))[tp]
    start = max(store.meta(name) or 0, begin)
    if start >= end:
        return 0
    consumer.seek(tp, start)
    count, position, quiet = 0, start, 0
    while position < end and quiet < 20:
        batch = (await consumer.getmany(timeout_ms=200, max_records=ROWS)).get(tp, [])
        position = await consumer.position(tp)
        # Control records and compacted tails hold no rows: the position moves past them without a record.
        quiet = 0 if batch else quiet + 1
        if not batch:
            continue
        rows = {record.key: record.value for record in batch}
        checkpoint = rows.pop(CHECKPOINT_KEY, None)
        done = {name: batch[-1].offset + 1}
        if name == "sequences":
            store.write(rows, {}, done, checkpoint)
        else:
            store.write({}, rows, done)
        count += len(batch)
        if count % (20 * ROWS) < len(batch):
            say(f"{tp.topic}-{tp.partition}: {position - start:,} of {end - start:,} changelog offsets read")
    return count
