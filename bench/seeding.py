"""Shoppers with a full history, put where the worker looks for them, without sending their events.

Rows are made by the worker's own code from some thousand shoppers' events, so they are valid and none is like another;
every seeded shopper gets one of them. Into a store they go in order of key and without a log of RocksDB's own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from confluent_kafka import Producer
from rocksdict import Options, Rdict, WriteBatch, WriteOptions

from bench.workload import Workload, user_ids
from models import promotion
from models.carried import carried
from models.engine import load
from models.events import hash_strings, pack
from schemas.codec import Codec
from schemas.kafka import confluent_config
from schemas.registry import open_registry
from schemas.settings import Settings
from schemas.topics import Topics
from streams.rows import Rows
from streams.sequences import Sequences
from streams.store import SEQUENCE

MODELS = 2_000  # shoppers whose rows are made; the others get theirs
BEFORE_S = 40 * 86_400
CHUNK = 10_000
DELIVERY_S = 120.0


def rows(settings: Settings) -> list[bytes]:
    """Stored rows of MODELS shoppers, whose rings are full, by the promoted release."""
    promoted = promotion.promoted(settings)
    assert promoted is not None  # deploy did it
    release = promoted.open()
    engine = load(release.uri)
    held = Rows(carried(engine, MODELS), settings.ring_events, lambda users: [None] * len(users))
    sequences = Sequences(held, engine, release.card.features)
    schema = Codec(open_registry(settings), "behavior_event").arrow_schema
    # Before the month that measured events are spread over, and with other ids: none is late, none a double.
    before = int((time.time() - BEFORE_S) * 1000)
    count = int(MODELS * settings.ring_events * 1.5)
    workload = Workload(MODELS, count, seed=999_999, each_once=True, end=before)
    for batch in workload.batches(schema, size=4_000):
        users = [user.encode() for user in batch.column("user_id").to_pylist()]
        # Offset -1 is "no event yet": the worker then takes the log's first event as new.
        offsets = np.arange(len(users))
        slots = held.locate(users)
        held.meta["applied"] = -1
        sequences.apply(slots, pack(batch), hash_strings(batch.column("event_id")), offsets)
    held.meta["applied"] = -1
    return list(held.take(np.arange(len(held))).values())


def fill_stores(settings: Settings, shoppers: int, values: list[bytes]) -> None:
    """Rows of shoppers 0 … into the stores that a worker made before and has closed."""
    topic = Topics(settings).behavior_events
    partitions = partition_of(shoppers, settings.partitions)
    for number in range(settings.partitions):
        folder = Path(settings.data_dir) / settings.app_id / f"{topic}-{number}"
        db = Rdict(str(folder), Options(raw_mode=True))
        unlogged = WriteOptions()
        unlogged.disable_wal = True
        db.set_write_options(unlogged)
        for names in _names(np.flatnonzero(partitions == number)):
            batch = WriteBatch(raw_mode=True)
            for at, name in enumerate(names):
                batch.put(SEQUENCE + name, values[at % len(values)])
            db.write(batch)
        db.flush()
        db.close()


def fill_changelog(settings: Settings, shoppers: int, values: list[bytes]) -> None:
    """The same rows into the changelog, in no order, as checkpoints would have put them there."""
    topic, partitions = Topics(settings).sequences_changelog, partition_of(shoppers, settings.partitions)
    producer = Producer(
        confluent_config(
            settings,
            enable_idempotence=True,
            compression_type=settings.compression,
            linger_ms=20,
            queue_buffering_max_kbytes=256 << 10,
        )
    )
    for number in range(settings.partitions):
        for names in shuffled(partitions, number):
            for at, name in enumerate(names):
                while True:
                    try:
                        producer.produce(topic, value=values[at % len(values)], key=name, partition=number)
                        break
                    except BufferError:
                        producer.poll(0.05)
            producer.poll(0)
    if producer.flush(DELIVERY_S):
        raise RuntimeError(f"the broker did not take all rows within {DELIVERY_S:g} s")


def shuffled(partitions: np.ndarray, number: int) -> Iterator[list[bytes]]:
    """The shoppers of a partition in the order of `fill_changelog`."""
    return _names(np.random.default_rng(number).permutation(np.flatnonzero(partitions == number)))


def partition_of(shoppers: int, partitions: int) -> np.ndarray:
    """Partition (N,) of shoppers 0 … N-1, by murmur2 of the id as Kafka's default partitioner has it."""
    found = [
        (_murmur2(user_ids(np.arange(start, min(start + 1_000_000, shoppers)))) & 0x7FFFFFFF) % partitions
        for start in range(0, shoppers, 1_000_000)
    ]
    return np.concatenate(found)


def _murmur2(keys: np.ndarray) -> np.ndarray:
    """murmur2 u4 (N,) of keys u1 (N, L), L a multiple of 4, seeded as Kafka does."""
    m, words = np.uint32(0x5BD1E995), np.ascontiguousarray(keys).view("<u4")
    h = np.full(len(keys), 0x9747B28C ^ keys.shape[1], np.uint32)
    for column in words.T:
        k = column * m
        k ^= k >> np.uint32(24)
        h = h * m ^ k * m
    h ^= h >> np.uint32(13)
    h *= m
    return h ^ h >> np.uint32(15)


def _names(numbers: np.ndarray) -> Iterator[list[bytes]]:
    for start in range(0, len(numbers), CHUNK):
        yield [bytes(name) for name in user_ids(numbers[start : start + CHUNK])]
