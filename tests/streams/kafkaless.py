"""A real `streams.partition.Partition` on an event loop, its computation in a thread, and no Kafka.

Only what speaks to Kafka is replaced: the consumer and the questions about offsets (`Reader`), the publisher (`Desk`),
and the reading of changelogs, of which there is nothing: the local store keeps what was written. `Desk` says whether
another owner wrote.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from schemas.settings import Settings
from streams import changelog
from streams import partition as module
from streams.opening import build_pass
from streams.partition import Partition
from streams.store import Store
from streams.transport import Batch
from streams.turns import Turns
from tests.streams.live import CODECS, RING, model

SOURCE = TP("behavior-events", 0)
BATCH = 64
END_S = 30.0


class Desk:
    """Stands for the publisher: keeps what is committed, after a pause of 0 to `pause` seconds."""

    def __init__(self, pause: float = 0.0, seed: int = 0) -> None:
        self._pause, self._random = pause, random.Random(seed)
        self.offsets: list[int] = []  # committed, in their order
        self.commits: list[dict[int, int]] = []  # the same of each commit, by partition
        self.outputs: list[dict[str, list[Any]]] = []  # of each commit, by topic
        self.failing: Exception | None = None
        self.claims = 0
        self.written_by_another = False  # in contacts-changelog

    async def claim(self, source: Any, offsets: Any) -> int:
        self.claims += 1
        return max((commit.get(source.partition, 0) for commit in self.commits), default=0)

    def build(self, records: Iterable[Any], tp: Any) -> list[Any]:
        return list(records)

    async def publish(self, outputs: dict[Any, list[Any]], offsets: dict[Any, int]) -> dict[Any, int]:
        await asyncio.sleep(self._random.random() * self._pause)
        if self.failing is not None:
            raise self.failing
        self.offsets += offsets.values()
        self.commits.append({tp.partition: offset for tp, offset in offsets.items()})
        by_topic: dict[str, list[Any]] = {}
        for tp, records in outputs.items():
            by_topic.setdefault(tp.topic, []).extend(records)
        self.outputs.append(by_topic)
        return {tp: 0 for tp in outputs if tp.topic.endswith("-changelog")}

    @property
    def committed(self) -> int:
        return self.offsets[-1] if self.offsets else 0

    def rows(self, topic: str, schema: str) -> list[dict[str, Any]]:
        """Everything committed on a topic, decoded."""
        values = [value for outputs in self.outputs for _, value in outputs.get(topic, [])]
        return list(getattr(CODECS, schema).decode_rows(values))

    def event_ids(self) -> list[str]:
        """Of all predictions."""
        return [row["event_id"] for row in self.rows("predictions", "prediction")]


class Reader:
    """Stands for the consumer of a log: delivers `sizes()` records at a time, from where the partition was opened."""

    def __init__(self, log: list[Any], desk: Desk, sizes: Callable[[], int] = lambda: 1) -> None:
        self._log, self._desk, self._sizes = log, desk, sizes
        self.source = TP(SOURCE.topic, log[0].partition) if log else SOURCE
        self._at, self._opening, self._open, self._held = 0, 0, False, False
        self._number, self.holds = 0, 0
        self.end: int | None = None  # of the log, as the broker's latest answer told it, at `answer`, ms
        self.answer: int | None = None

    async def deliver(self, partition: Partition, turns: Turns) -> None:
        """For ever. Cancel it to stop."""
        while True:
            await asyncio.sleep(0)
            if not self._open or self._held or self._at >= len(self._log):
                await asyncio.sleep(0.001)
                continue
            batch = self._log[self._at : self._at + self._sizes()]
            self._at += len(batch)
            self._number += 1
            partition.give(Batch(self._opening, self._number, batch))
            turns.wake()

    async def open_partition(self, tp: TP, offset: int) -> int:
        self._at = next(
            (at for at, record in enumerate(self._log) if record.offset >= offset), len(self._log)
        )
        self._open, self._held, self._opening, self._number = True, False, self._opening + 1, 0
        return self._opening

    def close_partition(self, tp: TP) -> None:
        self._open = False

    def hold(self, tp: TP, full: bool) -> None:
        self.holds += full and not self._held
        self._held = full

    def fetched(self, tp: TP) -> tuple[int, int]:
        return self._log[self._at - 1].offset + 1 if self._at else 0, self._number

    def highwater(self, tp: TP) -> int | None:
        return self.end

    def answered(self, tp: TP) -> int | None:
        return self.answer

    async def redo_from(self, checkpoint: int | None, live_from: int) -> int:
        return min(checkpoint or 0, live_from)


class Stage:
    """Runs partitions of one release for a test: `run(reader, desk, script)`; `script` gets the open partition.

    Several readers are several partitions of one worker; `script` gets the first.
    """

    def __init__(
        self, settings: Settings, uri: str, monkeypatch: pytest.MonkeyPatch, challenger: Any = None
    ) -> None:
        self._settings = settings.model_copy(
            update={"topic_prefix": "", "batch_records": BATCH, "ring_events": RING}
        )
        self._uri, self._patch, self._challenger = uri, monkeypatch, challenger

    def run(
        self, reader: Reader | list[Reader], desk: Desk, script: Callable[[Partition], Awaitable[None]]
    ) -> None:
        readers = reader if isinstance(reader, list) else [reader]
        by_partition = {one.source: one for one in readers}
        self._patch.setattr(module, "Offsets", lambda _, tp: by_partition[tp])
        self._patch.setattr(changelog, "read_on", lambda *_, **__: 0)
        self._patch.setattr(changelog, "written_since", lambda *_: desk.written_by_another)
        asyncio.run(self._run(readers, desk, script))

    async def _run(
        self, readers: list[Any], desk: Any, script: Callable[[Partition], Awaitable[None]]
    ) -> None:
        following: Any = SimpleNamespace(
            has_model=asyncio.Event(),
            caught_up=asyncio.Event(),
            model=model(self._uri),
            policy=None,
            challenger=self._challenger,
        )
        following.has_model.set()
        following.caught_up.set()
        folder = Path(self._settings.data_dir)
        with ThreadPoolExecutor(1) as compute, ThreadPoolExecutor(1) as packing:
            turns = Turns(
                self._settings, build_pass(self._settings, CODECS), following, desk, compute, packing
            )
            partitions = [
                Partition(
                    self._settings,
                    reader.source,
                    reader,
                    following,
                    CODECS,
                    compute,
                    turns,
                    desk,
                    lambda number: Store(folder / str(number), 1 << 20, 1 << 20),
                    rows=1024,
                )
                for reader in readers
            ]
            for partition in partitions:
                partition.start()
            deliveries = [
                asyncio.create_task(reader.deliver(partition, turns))
                for reader, partition in zip(readers, partitions, strict=True)
            ]
            try:
                await script(partitions[0])
            finally:
                for delivery in deliveries:
                    delivery.cancel()
                for partition in partitions:
                    await partition.stop()
                await turns.stop()


async def until(met: Callable[[], bool], partition: Partition | None = None) -> None:
    """Wait for it; raises what ended the partition, and TimeoutError after END_S."""
    async with asyncio.timeout(END_S):
        while not met():
            if partition is not None and partition.failure is not None:
                raise partition.failure
            await asyncio.sleep(0.005)
