"""Publishes what one turn of the worker produced, for all its partitions: everything in one transaction, or nothing.

One producer per worker. Two things keep a worker out that lost a partition without noticing (a zombie):
- offsets are committed with the worker's generation in its consumer group: of an earlier one the broker takes none;
- who takes a partition over ends what its last owner left open. The owner's transactional id is in the metadata of the
  committed offset: a worker `claim`s a partition before it publishes for it, and takes its name out (`release`) when it
  gives the partition up in order, so that a worker that lives is never fenced for one partition of many.

Record batches are built and compressed in a thread (record_batches.py), only sending happens on the event loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import aiokafka
import aiokafka.producer.sender
from aiokafka.errors import ProducerFenced
from aiokafka.structs import OffsetAndMetadata, RecordMetadata, TopicPartition

from schemas.kafka import aiokafka_config
from schemas.settings import Settings
from schemas.topics import Topics
from streams.member_offsets import commit_as_member
from streams.offsets import Committed, Offsets
from streams.record_batches import Record, SealedBatch, sealed

if TYPE_CHECKING:
    from streams.transport import BatchConsumer

log = logging.getLogger("intentflow.transaction")
Outputs = dict[TopicPartition, list[SealedBatch]]
# Between two transactions of one producer the broker answers CONCURRENT_TRANSACTIONS until the first one's markers are
# written, about 2 ms; the client would ask again after 20 ms, and after 100 ms for other errors that pass.
aiokafka.producer.sender.BACKOFF_OVERRIDE = 0.002
RETRY_BACKOFF_MS = 10
BATCH_BYTES = 900_000  # under the broker's default of 1 MiB for a record batch
NOBODY = ""  # metadata of an offset whose partition was given up in order


class Publisher:
    """The producer of this worker, exactly-once or at-least-once by the setting `guarantee`.

    consumer: asked when something is committed; it knows the worker's membership in the group.
    """

    def __init__(self, settings: Settings, consumer: Callable[[], BatchConsumer]) -> None:
        topics = Topics(settings)
        self._changelogs = {topics.sequences_changelog, topics.contacts_changelog}
        self._settings, self._consumer = settings, consumer
        self._compression = None if settings.compression == "none" else settings.compression
        self._exactly_once = settings.guarantee == "exactly_once"
        self._producer: aiokafka.AIOKafkaProducer | None = None
        self._turn = asyncio.Lock()  # one transaction at a time
        self._starting, self._fencing = asyncio.Lock(), asyncio.Lock()
        self._fenced: set[str] = set()
        self._failed: BaseException | None = None  # of a transaction: this producer sends nothing more
        self._offsets: dict[TopicPartition, int] = {}  # last published, since the claim
        self.name = (
            f"{settings.app_id}-{uuid.uuid4()}"  # of this process alone: nobody else may fence it by accident
        )

    async def publish(
        self, outputs: Outputs, offsets: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, int]:
        """Send the outputs and commit the source offsets; returns the last offset written, by partition.

        Raises the client's error when anything failed: exactly-once then left nothing visible, and the caller must
        give up its state.
        """
        for tp, offset in offsets.items():
            if offset < self._offsets.get(tp, 0):
                raise RuntimeError(
                    f"{tp} would go back from offset {self._offsets[tp]} to {offset}: a fault of ours"
                )
        self._offsets.update(offsets)
        async with self._turn:
            if self._exactly_once:
                return await self._transact(outputs, offsets, self.name)
            producer = await self._started()
            # Changelogs last: a row ahead of its outputs would make a restart skip events that were never published.
            logs = {tp: batches for tp, batches in outputs.items() if tp.topic in self._changelogs}
            await self._send(producer, {tp: batches for tp, batches in outputs.items() if tp not in logs})
            last = await self._send(producer, logs)
            await self._consumer().commit_offsets(offsets)
            return last

    async def claim(self, source: TopicPartition, offsets: Offsets) -> int:
        """Make the partition this worker's and end what its last owner left open; returns the next offset to publish."""
        await self._started()
        found = await offsets.committed()
        if not self._exactly_once:
            return await offsets.start() if found is None else found.offset
        if found is not None and found.owner not in (NOBODY, self.name):
            await self._fence(found.owner)
            found = await offsets.committed()  # its last commit may have come in between
        found = found or Committed(await offsets.start(), NOBODY)
        offset = found.offset
        if found.owner == self.name:  # what we published last may not be marked as committed yet
            offset = max(offset, self._offsets.get(source, 0))
        self._offsets[source] = offset
        async with self._turn:
            await self._transact({}, {source: offset}, self.name)
        return offset

    async def release(self, offsets: Mapping[TopicPartition, int]) -> None:
        """These partitions are given up in order, everything before the offsets is published."""
        if self._exactly_once and offsets:
            offsets = {tp: max(offset, self._offsets.get(tp, 0)) for tp, offset in offsets.items()}
            async with self._turn:
                # Twice: the broker marks a transaction as committed some time after it has answered, but before it
                # begins the next one. Who takes a partition over must not find our name in it.
                for _ in range(2):
                    await self._transact({}, offsets, NOBODY)

    async def stop(self) -> None:
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await producer.stop()

    def build(self, records: Sequence[Record], tp: TopicPartition) -> list[SealedBatch]:
        """Record batches ready to send with the next `publish`. It blocks: call it in a thread."""
        assert self._producer is not None
        return sealed(
            records,
            tp,
            int(time.time() * 1000),
            BATCH_BYTES,
            self._compression,
            self._producer._txn_manager,
            self._exactly_once,
        )

    async def _started(self) -> aiokafka.AIOKafkaProducer:
        async with self._starting:  # partitions open side by side
            if self._producer is None:
                producer = self._made(self.name if self._exactly_once else None)
                await producer.start()
                if self._exactly_once:
                    commit_as_member(producer, lambda: self._consumer().membership)
                self._producer = producer
        return self._producer

    async def _fence(self, owner: str) -> None:
        """Whoever has this transactional id can commit nothing more, and what it left open is aborted."""
        async with self._fencing:
            if owner not in self._fenced:
                log.warning("the transactions of %s are ended: it did not give up its partitions", owner)
                producer = self._made(owner)
                await producer.start()
                await producer.stop()
                self._fenced.add(owner)

    def _made(self, transactional_id: str | None) -> aiokafka.AIOKafkaProducer:
        transactional: dict[str, Any] = {}
        if transactional_id is not None:
            transactional = {
                "transactional_id": transactional_id,
                "transaction_timeout_ms": int(self._settings.transaction_timeout_s * 1000),
            }
        return aiokafka.AIOKafkaProducer(
            **aiokafka_config(self._settings),
            enable_idempotence=True,
            acks="all",
            compression_type=self._compression,
            max_batch_size=BATCH_BYTES,
            max_request_size=18 << 20,  # a whole bad record fits into dead-letters
            linger_ms=0,
            retry_backoff_ms=RETRY_BACKOFF_MS,
            **transactional,
        )

    async def _transact(
        self, outputs: Outputs, offsets: Mapping[TopicPartition, int], owner: str
    ) -> dict[TopicPartition, int]:
        producer = await self._started()
        if self._failed is not None:
            raise ProducerFenced(f"a transaction of this worker failed before: {self._failed!r}")
        await producer.begin_transaction()
        try:
            for tp in outputs:  # all of them before the client asks the broker: one request, not one each
                producer._txn_manager.maybe_add_partition_to_txn(tp)
            last = await self._send(producer, outputs)
            await producer.send_offsets_to_transaction(
                {tp: OffsetAndMetadata(offset, owner) for tp, offset in offsets.items()},
                self._settings.app_id,
            )
            await producer.commit_transaction()
        except BaseException as failure:
            self._failed = failure  # the broker may have it open still: whoever claims the partitions ends it
            await self._abort(producer)
            raise
        return last

    async def _send(self, producer: aiokafka.AIOKafkaProducer, outputs: Outputs) -> dict[TopicPartition, int]:
        sent: list[tuple[TopicPartition, int, asyncio.Future[RecordMetadata]]] = []
        longest = max((len(batches) for batches in outputs.values()), default=0)
        for turn in range(longest):  # in turns: batches of one partition go one after another
            for tp, batches in outputs.items():
                if turn < len(batches):
                    count = batches[turn].record_count()
                    future = await producer.send_batch(batches[turn], tp.topic, partition=tp.partition)
                    sent.append((tp, count, future))
        done = await asyncio.gather(*(future for _, _, future in sent))
        return {tp: meta.offset + count - 1 for (tp, count, _), meta in zip(sent, done, strict=True)}

    async def _abort(self, producer: aiokafka.AIOKafkaProducer) -> None:
        try:
            await producer.abort_transaction()
        except Exception:
            return
