"""Where a partition begins: its committed offset, or for a new group what `start_from` says, and where redo starts."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import aiokafka
from aiokafka.structs import TopicPartition
from faust.types import TP

from schemas.kafka import aiokafka_config
from schemas.settings import Settings

GONE = (
    "events between are gone by the topic's retention, and going on would leave them out in silence. Raise "
    "INTENTFLOW_RETENTION_DAYS above the longest time that a worker is away. To go on now: rebuild the state from the "
    "archive, or accept the loss: stop the workers, delete INTENTFLOW_DATA_DIR and both changelog topics, create the "
    "topics anew (`intentflow topics create`), and move the group (`kafka-consumer-groups --reset-offsets "
    "--to-earliest`)"
)


class RetentionTooShort(RuntimeError):
    """Events that this group needs are gone from the source topic."""


class Committed(NamedTuple):
    """A group's committed offset, and the transactional id of whoever has the partition; "" for nobody."""

    offset: int
    owner: str


class Offsets:
    """Questions about one source partition, asked outside the group's membership."""

    def __init__(self, settings: Settings, tp: TP) -> None:
        self._settings, self._tp = settings, TopicPartition(tp.topic, tp.partition)

    async def committed(self) -> Committed | None:
        """What the group committed last: the first offset whose outputs are not yet published. None for a new group."""
        consumer = self._consumer(self._settings.app_id)
        await consumer.start()
        try:
            consumer.assign([self._tp])
            found = await consumer._coordinator.fetch_committed_offsets(
                [self._tp]
            )  # with metadata, not as committed()
            entry = found.get(self._tp)
            return (
                None if entry is None or entry.offset < 0 else Committed(entry.offset, entry.metadata or "")
            )
        finally:
            await consumer.stop()

    async def start(self) -> int:
        """Where a new group begins, by `start_from`."""
        consumer = self._consumer(None)
        await consumer.start()
        try:
            return await self._first(consumer)
        finally:
            await consumer.stop()

    async def redo_from(self, checkpoint: int | None, live_from: int) -> int:
        """Offset to read from so that state is complete at `live_from`.

        Without a checkpoint that is the oldest retained event. Raises RetentionTooShort when events after the checkpoint
        or after the committed offset are gone: state would silently miss them.
        """
        consumer = self._consumer(None)
        await consumer.start()
        try:
            begin: int = (await consumer.beginning_offsets([self._tp]))[self._tp]
        finally:
            await consumer.stop()
        needed = live_from if checkpoint is None else min(checkpoint, live_from)
        if needed < begin:
            what = "publishing has to go on" if checkpoint is None else "redo has to start"
            raise RetentionTooShort(
                f"{self._tp.topic}-{self._tp.partition} begins at offset {begin}, {what} at {needed}: {GONE}"
            )
        return begin if checkpoint is None else needed

    async def _first(self, consumer: aiokafka.AIOKafkaConsumer) -> int:
        start = self._settings.start_from
        if start == "earliest":
            return int((await consumer.beginning_offsets([self._tp]))[self._tp])
        end = int((await consumer.end_offsets([self._tp]))[self._tp])
        if start == "latest":
            return end
        moment = int(datetime.fromisoformat(start).timestamp() * 1000)
        found = (await consumer.offsets_for_times({self._tp: moment}))[self._tp]
        return end if found is None or found.offset < 0 else int(found.offset)

    def _consumer(self, group: str | None) -> aiokafka.AIOKafkaConsumer:
        return aiokafka.AIOKafkaConsumer(
            **aiokafka_config(self._settings),
            group_id=group,
            enable_auto_commit=False,
            isolation_level="read_committed",
        )
