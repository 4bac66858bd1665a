"""The floor as a program: the five things that nobody can leave out, and nothing else.

Per batch of a partition: fetch its records (aiokafka), decode the Avro (pyruhvro), one LSTM step per event and the
heads (ONNX Runtime, in the rounds that the batch's shoppers need), read and write as many rows in RocksDB per event as
the worker did, and send as many bytes in a transaction with the offset. As in the worker one thread computes while the
event loop fetches and sends, and one partition's transaction overlaps with the next one's compute. What it sends and
stores are predictions and rows that the worker wrote before; model inputs are drawn once. So there is no index of
shoppers, no ring, no features, no ids, no check, no policy, no checkpoint.

    python -m bench.minimal [--alone] --report FILE …    settings in the environment as for the worker

Started by bench.floor. With --alone it does the five one after another, each by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiokafka
import aiokafka.producer.sender
import numpy as np
from aiokafka.structs import TopicPartition
from rocksdict import Options, Rdict, WriteBatch, WriteOptions

from models import promotion
from models.engine import load
from schemas.codec import Codec
from schemas.kafka import aiokafka_config
from schemas.registry import open_registry
from schemas.settings import Settings
from schemas.topics import Topics
from streams.worker import tune_interpreter

GROUP = "floor"
# How soon the client asks again while the markers of the transaction before are written: its 20 ms would be a pause.
aiokafka.producer.sender.BACKOFF_OVERRIDE = 0.002
RETRY_BACKOFF_MS = 10
BATCH_BYTES = 900_000
POLL_MS = 200
WARM_STEPS = 5
CHUNK = 1024  # shoppers per step: their hidden states in and out stay in the cache
PARTS = ("decode", "step", "heads", "store", "produce")
Outputs = dict[str, list[Any]]


class Floor:
    """What the compute thread does, and what it needs for that; `seconds` adds up by part."""

    def __init__(
        self, settings: Settings, options: argparse.Namespace, pools: dict[str, list[bytes]]
    ) -> None:
        topics, rng, most = Topics(settings), np.random.default_rng(0), settings.batch_records
        self._predictions, self._changelog = topics.predictions, topics.sequences_changelog
        self._values, self._rows = pools[self._predictions], pools[self._changelog]
        self._gets, self._puts, self._shoppers = options.gets, options.puts, options.shoppers
        self._codec = Codec(open_registry(settings), "behavior_event")
        promoted = promotion.promoted(settings)
        assert promoted is not None  # the worker ran with it
        release = promoted.open()
        spec, self._engine = release.card.features, load(release.uri)
        self._ids = rng.integers(0, min(spec.vocabulary()), (most, 4)).astype(np.int32)
        self._dense = rng.normal(size=(most, spec.dense_size)).astype(np.float32)
        self._hidden = np.zeros((most, self._engine.state_size), np.float32)
        for _ in range(WARM_STEPS):  # numbers as they come: what softmax and top cost depends on them
            self._trunk, self._hidden = self._engine.step(self._ids, self._dense, self._hidden)
        folder = Path(settings.data_dir) / GROUP
        folder.mkdir(parents=True, exist_ok=True)
        self._db = Rdict(str(folder), Options(raw_mode=True))
        unlogged = WriteOptions()
        unlogged.disable_wal = True
        self._db.set_write_options(unlogged)
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self.events = 0

    def process(self, producer: aiokafka.AIOKafkaProducer, records: list[Any]) -> Outputs:
        """One batch, from raw records to record batches ready to send."""
        keys = [record.key for record in records]
        self.decode(records)
        self.step(len(records))
        self.store(keys)
        outputs = self.build(producer, keys)
        self.events += len(records)
        return outputs

    def decode(self, records: list[Any]) -> None:
        with self._timed("decode"):
            self._codec.decode([record.value for record in records])

    def step(self, count: int) -> None:
        with self._timed("step"):
            for size in rounds(count, self._shoppers):
                for start in range(0, size, CHUNK):
                    part = slice(start, min(start + CHUNK, size))
                    self._engine.step(self._ids[part], self._dense[part], self._hidden[part])
        with self._timed("heads"):
            self._engine.heads(self._trunk[:count])

    def store(self, keys: list[bytes]) -> None:
        with self._timed("store"):
            gets, puts = keys[: round(self._gets * len(keys))], keys[: round(self._puts * len(keys))]
            if gets:
                self._db.get(gets)
            if puts:
                batch = WriteBatch(raw_mode=True)
                for key, row in zip(puts, self._cycled(self._rows, len(puts)), strict=True):
                    batch.put(key, row)
                self._db.write(batch)

    def build(self, producer: aiokafka.AIOKafkaProducer, keys: list[bytes]) -> Outputs:
        with self._timed("produce"):
            puts = keys[: round(self._puts * len(keys))]
            return {
                topic: _batches(producer, zip(named, self._cycled(pool, len(named)), strict=True))
                for topic, named, pool in (
                    (self._predictions, keys, self._values),
                    (self._changelog, puts, self._rows),
                )
                if named
            }

    @staticmethod
    def _cycled(pool: list[bytes], count: int) -> list[bytes]:
        return (pool * (count // len(pool) + 1))[:count]

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.seconds[part] += time.perf_counter() - begun


@functools.lru_cache
def rounds(count: int, shoppers: int) -> list[int]:
    """Sizes of the rounds of a batch of `count` events drawn among so many: round r holds everyone's r-th event."""
    each = np.bincount(np.random.default_rng(count).integers(0, shoppers, count))
    return [int((each > turn).sum()) for turn in range(int(each.max(initial=0)))]


async def whole(settings: Settings, options: argparse.Namespace, floor: Floor) -> None:
    """Take the backlog, all partitions at once."""
    topics, compute = Topics(settings), ThreadPoolExecutor(1)
    sources = [TopicPartition(topics.behavior_events, number) for number in range(settings.partitions)]
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        consumer = await stack.enter_async_context(_consumer(settings, sources))
        producers = [await stack.enter_async_context(_producer(settings, tp)) for tp in sources]
        ends = await consumer.end_offsets(sources)

        async def serve(tp: TopicPartition, producer: aiokafka.AIOKafkaProducer) -> None:
            offset = 0
            while offset < ends[tp]:
                found = await consumer.getmany(tp, timeout_ms=POLL_MS, max_records=settings.batch_records)
                if records := found.get(tp):
                    offset = records[-1].offset + 1
                    outputs = await loop.run_in_executor(compute, floor.process, producer, records)
                    await publish(producer, tp, outputs, offset)

        await asyncio.gather(*(serve(tp, producer) for tp, producer in zip(sources, producers, strict=True)))
        figures = {part: 1e6 * seconds / floor.events for part, seconds in floor.seconds.items()}
        Path(options.report).write_text(json.dumps(figures))
        await asyncio.Event().wait()  # whoever measures looks once more, and ends it


async def alone(settings: Settings, options: argparse.Namespace, floor: Floor) -> None:
    """Each part by itself over the same records: CPU and wall µs per event."""
    topics = Topics(settings)
    sources = [TopicPartition(topics.behavior_events, number) for number in range(settings.partitions)]
    clock = _Clock()
    async with _consumer(settings, sources) as consumer:
        batches: list[list[Any]] = []
        with clock.part("fetch"):
            while sum(map(len, batches)) < options.events:
                found = await consumer.getmany(timeout_ms=POLL_MS, max_records=settings.batch_records)
                batches += [records for records in found.values() if records]
    keys = [[record.key for record in records] for records in batches]
    with clock.part("decode"):
        for records in batches:
            floor.decode(records)
    with clock.part("step_and_heads"):
        for records in batches:
            floor.step(len(records))
    with clock.part("store"):
        for named in keys:
            floor.store(named)
    async with AsyncExitStack() as stack:
        producers = [await stack.enter_async_context(_producer(settings, tp)) for tp in sources]

        async def produce(number: int) -> None:
            tp, producer = sources[number], producers[number]
            for offset, named in enumerate(keys[number :: len(sources)]):
                await publish(producer, tp, floor.build(producer, named), offset + 1)

        with clock.part("produce"):
            await asyncio.gather(*map(produce, range(len(sources))))
    Path(options.report).write_text(json.dumps(clock.per_event(sum(map(len, batches)))))


async def publish(
    producer: aiokafka.AIOKafkaProducer, source: TopicPartition, outputs: Outputs, offset: int
) -> None:
    """One transaction: the record batches and the offset."""
    await producer.begin_transaction()
    sent = [
        await producer.send_batch(batch, topic, partition=source.partition)
        for topic, batches in outputs.items()
        for batch in batches
    ]
    await asyncio.gather(*sent)
    await producer.send_offsets_to_transaction({source: offset}, GROUP)
    await producer.commit_transaction()


async def pools(settings: Settings, most: int) -> dict[str, list[bytes]]:
    """Values that the worker wrote, by topic: predictions and, from its changelog, rows. Fewer where it wrote fewer."""
    topics = Topics(settings)
    found: dict[str, list[bytes]] = {}
    for topic in (topics.predictions, topics.sequences_changelog):
        sources = [TopicPartition(topic, number) for number in range(settings.partitions)]
        async with _consumer(settings, sources) as consumer:
            values: list[bytes] = []
            while len(values) < most and (
                batches := await consumer.getmany(timeout_ms=2_000, max_records=most)
            ):
                values += [record.value for records in batches.values() for record in records]
        width = max(map(len, values), default=0)  # of a row: a checkpoint's record is shorter
        rows = topic == topics.sequences_changelog
        found[topic] = [value for value in values if not rows or len(value) == width][:most]
    return found


def _batches(producer: aiokafka.AIOKafkaProducer, records: Any) -> list[Any]:
    now, batches, batch = int(time.time() * 1000), [], None
    for key, value in records:
        if batch is None or batch.append(timestamp=now, key=key, value=value) is None:
            batch = producer.create_batch()
            batch.append(timestamp=now, key=key, value=value)
            batches.append(batch)
    return batches


@asynccontextmanager
async def _consumer(
    settings: Settings, sources: list[TopicPartition]
) -> AsyncIterator[aiokafka.AIOKafkaConsumer]:
    consumer = aiokafka.AIOKafkaConsumer(
        **aiokafka_config(settings),
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=4 << 20,
    )
    await consumer.start()
    try:
        consumer.assign(sources)
        yield consumer
    finally:
        await consumer.stop()


@asynccontextmanager
async def _producer(settings: Settings, source: TopicPartition) -> AsyncIterator[aiokafka.AIOKafkaProducer]:
    producer = aiokafka.AIOKafkaProducer(
        **aiokafka_config(settings),
        transactional_id=f"{settings.app_id}-{GROUP}-{source.partition}",
        acks="all",
        compression_type=None if settings.compression == "none" else settings.compression,
        max_batch_size=BATCH_BYTES,
        max_request_size=18 << 20,
        linger_ms=0,
        retry_backoff_ms=RETRY_BACKOFF_MS,
    )
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


class _Clock:
    """CPU seconds of the process and wall seconds by part."""

    def __init__(self) -> None:
        self._taken: dict[str, tuple[float, float]] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        cpu, wall = time.process_time(), time.perf_counter()
        yield
        self._taken[name] = time.process_time() - cpu, time.perf_counter() - wall

    def per_event(self, events: int) -> dict[str, dict[str, float]]:
        """µs by part."""
        return {
            name: {"cpu_us": 1e6 * cpu / events, "wall_us": 1e6 * wall / events}
            for name, (cpu, wall) in self._taken.items()
        }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.minimal")
    parser.add_argument("--report", required=True, help="JSON file: µs per event by part")
    parser.add_argument("--shoppers", type=int, required=True, help="of one partition")
    parser.add_argument("--gets", type=float, required=True, help="rows read per event")
    parser.add_argument("--puts", type=float, required=True, help="rows written per event")
    parser.add_argument("--alone", action="store_true", help="the parts one after another")
    parser.add_argument("--events", type=int, default=200_000, help="with --alone: so many")
    options, settings = parser.parse_args(), Settings.load()
    measure: Callable[..., Any] = alone if options.alone else whole

    async def run() -> None:
        await measure(
            settings, options, Floor(settings, options, await pools(settings, settings.batch_records))
        )

    tune_interpreter()
    asyncio.run(run())


if __name__ == "__main__":
    main()
