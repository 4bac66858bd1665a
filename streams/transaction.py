"""Publishes what one batch produced: outputs, changelogs and the consumed offset together, or not at all.

One producer per source partition, `transactional.id` = app-topic-partition: starting it fences whoever held the
partition before. Record batches are built and compressed in a thread (record_batches.py), only sending happens on the event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import aiokafka
import aiokafka.producer.sender
from aiokafka.structs import RecordMetadata, TopicPartition

from schemas.kafka import aiokafka_config
from schemas.settings import Settings
from schemas.topics import Topics
from streams.record_batches import Record, SealedBatch, sealed

Outputs = dict[str, list[SealedBatch]]  # record batches by topic
CommitOffset = Callable[[TopicPartition, int], Awaitable[bool]]
# Between two transactions of one producer the broker answers CONCURRENT_TRANSACTIONS until the first one's markers are
# written, about 2 ms; the client would ask again after 20 ms, and after 100 ms for other errors that pass.
aiokafka.producer.sender.BACKOFF_OVERRIDE = 0.002
RETRY_BACKOFF_MS = 10
BATCH_BYTES = 900_000  # under the broker's default of 1 MiB for a record batch


class Publisher:
    """The producer of one source partition, exactly-once or at-least-once by the setting `guarantee`."""

    def __init__(self, settings: Settings, source: TopicPartition, commit_offset: CommitOffset) -> None:
        topics = Topics(settings)
        self._changelogs = {topics.sequences_changelog, topics.contacts_changelog}
        self._settings, self._source, self._commit_offset = settings, source, commit_offset
        self._compression = None if settings.compression == "none" else settings.compression
        self._exactly_once = settings.guarantee == "exactly_once"
        self._producer: aiokafka.AIOKafkaProducer | None = None
        self.group = settings.app_id

    async def start(self) -> None:
        """Connect and, exactly-once, fence every earlier producer of this partition and end its open transaction."""
        transactional = {}
        if self._exactly_once:
            transactional = {
                "transactional_id": f"{self.group}-{self._source.topic}-{self._source.partition}",
                "transaction_timeout_ms": int(self._settings.transaction_timeout_s * 1000),
            }
        self._producer = aiokafka.AIOKafkaProducer(
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
        await self._producer.start()

    async def stop(self) -> None:
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await producer.stop()

    def build(self, records: Sequence[Record], topic: str) -> list[SealedBatch]:
        """Record batches ready to send with the next `publish`. It blocks: call it in a thread."""
        assert self._producer is not None
        return sealed(
            records,
            TopicPartition(topic, self._source.partition),
            int(time.time() * 1000),
            BATCH_BYTES,
            self._compression,
            self._producer._txn_manager,
            self._exactly_once,
        )

    async def publish(self, outputs: Outputs, offset: int) -> dict[str, int]:
        """Send the outputs by topic and commit the source offset; returns the last offset written by topic.

        Raises the client's error when anything failed: exactly-once then left nothing visible, and the caller must
        give up its state and open the partition again.
        """
        assert self._producer is not None
        if not self._exactly_once:
            # Changelogs last: a row ahead of its outputs would make a restart skip events that were never published.
            logs = {topic: builders for topic, builders in outputs.items() if topic in self._changelogs}
            await self._send({topic: builders for topic, builders in outputs.items() if topic not in logs})
            last = await self._send(logs)
            await self._commit_offset(self._source, offset)
            return last
        await self._producer.begin_transaction()
        try:
            last = await self._send(outputs)
            await self._producer.send_offsets_to_transaction({self._source: offset}, self.group)
            await self._producer.commit_transaction()
        except BaseException:
            await self._abort()
            raise
        return last

    async def _send(self, outputs: Outputs) -> dict[str, int]:
        sent: list[tuple[str, int, asyncio.Future[RecordMetadata]]] = []
        longest = max((len(builders) for builders in outputs.values()), default=0)
        for turn in range(longest):  # topic by topic in turns: batches of one partition go one after another
            for topic, builders in outputs.items():
                if turn < len(builders):
                    count = builders[turn].record_count()
                    future = await self._producer.send_batch(  # type: ignore[union-attr]
                        builders[turn], topic, partition=self._source.partition
                    )
                    sent.append((topic, count, future))
        done = await asyncio.gather(*(future for _, _, future in sent))
        return {topic: meta.offset + count - 1 for (topic, count, _), meta in zip(sent, done, strict=True)}

    async def _abort(self) -> None:
        try:
            await self._producer.abort_transaction()  # type: ignore[union-attr]
        except Exception:
            return
