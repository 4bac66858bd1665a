"""Warm copies: the stores of partitions that other workers own, kept up with their changelogs.

When an owner dies its partition goes to a worker with a copy (assignment.py), which then has only the last few seconds
to read on and to redo.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Executor

from schemas.settings import Settings
from schemas.topics import Topics
from streams import changelog
from streams.progress import Progress
from streams.store import Store

log = logging.getLogger("intentflow.standby")
PAUSE_S = 1.0


class Standbys:
    """The warm copies of this worker. open_store: opens the store of a partition by its number; it may block."""

    def __init__(self, settings: Settings, open_store: Callable[[int], Store], io: Executor) -> None:
        self._settings, self._open_store, self._io = settings, open_store, io
        self._copies: dict[int, Copy] = {}

    async def keep(self, numbers: set[int]) -> None:
        """Keep copies of exactly these partitions from now on; the stores of others are closed when this returns."""
        leaving = [self._copies.pop(number) for number in self._copies.keys() - numbers]
        for copy in leaving:
            copy.stopped.set()
        await asyncio.gather(*(copy.done for copy in leaving if copy.done is not None))
        for number in numbers - self._copies.keys():
            copy = self._copies[number] = Copy(self._settings, number, self._open_store)
            copy.done = asyncio.get_running_loop().run_in_executor(self._io, copy.follow)

    def offsets(self) -> dict[int, int]:
        """Changelog offset that each copy has reached."""
        return {number: copy.progress.read for number, copy in list(self._copies.items())}


class Copy:
    """One partition's copy. `follow` runs in a thread until `stopped`."""

    def __init__(self, settings: Settings, number: int, open_store: Callable[[int], Store]) -> None:
        self._settings, self._number, self._open_store = settings, number, open_store
        self.progress, self.stopped = Progress(), threading.Event()
        self.done: asyncio.Future[None] | None = None

    def follow(self) -> None:
        """Read both changelogs on and on. A problem is said and tried again: a copy is a help, never a need."""
        topics = Topics(self._settings)
        while not self.stopped.is_set():
            try:
                store = self._open_store(self._number)
                try:
                    self._follow(store, topics)
                finally:
                    store.close()
            except Exception as problem:
                log.warning("standby of partition %d, trying again: %s", self._number, problem)
                self.stopped.wait(PAUSE_S)

    def _follow(self, store: Store, topics: Topics) -> None:
        with changelog.Reader(
            self._settings,
            store,
            topics.sequences_changelog,
            topics.contacts_changelog,
            self._number,
            self.progress,
        ) as reader:
            while not self.stopped.is_set():
                reader.read(self.stopped.is_set)
