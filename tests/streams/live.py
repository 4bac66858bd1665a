"""A partition without Kafka: a log of raw records, both changelogs, the committed offset, and what was published.

`Partition.process` commits a batch as the real one does: `compute`, `commit`, `settle`. A test that stops between two
of these and calls `crash` has lost what was in memory; `open` follows the same order as streams/partition.py.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from models.carried import carried
from models.engine import load
from models.events import hash_strings
from models.release import read
from models.usable import Bounds
from schemas.registry import FileRegistry
from streams.budgets import KEY, Budgets
from streams.challenger import Challenger
from streams.checkpoint import Checkpointer
from streams.contacts import ContactBook
from streams.decide import CompiledPolicy
from streams.decode import Decoder
from streams.model import Model
from streams.passing import Pass
from streams.rows import Rows, Slots
from streams.sequences import Sequences
from streams.shoppers import Shoppers, Work
from streams.stages import Codecs
from streams.store import CHECKPOINT_KEY, Checkpoint, Store
from streams.timers import PREFIX, Timers
from tests.models.releases import CATEGORIES, written

CODECS = Codecs(FileRegistry())
START = 1_700_000_000_000
RING = 5


def event(user: int, at: int, **changes: Any) -> dict[str, Any]:
    """A purchase of `user`, `at` minutes after START."""
    row = {
        "event_id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{user}-{at}")),
        "user_id": f"user-{user}",
        "event_type": "purchase",
        "event_time": START + at * 60_000,
        "item_id": f"item-{at % 11}",
        "category_id": CATEGORIES[at % 7],
        "price": 1.0 + at % 13,
        "quantity": 1.0,
    }
    return {**row, **changes}


def records(rows: list[dict[str, Any]], first: int = 0) -> list[Any]:
    values = CODECS.behavior_event.encode_rows(rows)
    return [
        SimpleNamespace(
            topic="behavior-events",
            partition=0,
            offset=first + at,
            timestamp=START + 86_400_000 * 400,
            key=row["user_id"].encode(),
            value=value,
            headers=(),
        )
        for at, (row, value) in enumerate(zip(rows, values, strict=True))
    ]


class Clocked(Checkpointer):
    """A checkpointer that goes by the clock of its test."""

    def __init__(self, rows: Rows, interval: float, clock: Callable[[], float], offset: int) -> None:
        super().__init__(rows, interval, clock(), offset)
        self._clock = clock

    def share(self, now: float, offset: int, release: str) -> tuple[Slots, Checkpoint | None]:
        return super().share(self._clock(), offset, release)


class Changelog:
    """One partition of a compacted topic: offsets stay when `compact` takes out what a later record replaced."""

    def __init__(self) -> None:
        self.records: dict[int, tuple[bytes, bytes | None]] = {}  # by offset, rising
        self.end = 0

    def append(self, records: list[tuple[bytes, bytes | None]]) -> None:
        self.records.update(enumerate(records, self.end))
        self.end += len(records)

    def compact(self) -> None:
        latest = {key: offset for offset, (key, _) in self.records.items()}
        self.records = {offset: self.records[offset] for offset in sorted(latest.values())}


class Partition:
    """See the module's docstring. `rows` bounds the matrix, so that small numbers force evictions.

    interval: seconds of `clock` from one checkpoint to the next; with the default every batch ends with one.
    """

    def __init__(
        self,
        folder: Path,
        release_uri: str,
        rows: int = 64,
        policy: CompiledPolicy | None = None,
        interval: float = 1e-9,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder, self.rows, self.policy = folder, rows, policy
        self.model, self._interval, self._clock = model(release_uri), interval, clock
        self.challenger: Challenger | None = None
        self.passing = Pass(CODECS, Decoder(CODECS.behavior_event, Bounds(3650, 3600), 1 << 20))
        self.sequences_log, self.contacts_log = Changelog(), Changelog()
        self.committed = 0
        self.published: list[tuple[str, bytes]] = []  # (schema, value)
        self.open()

    def open(self) -> int:
        """Open from store and changelogs; returns the redo offset."""
        self.open_store()
        self.read_on()
        return self.begin()

    def begin(self) -> int:
        """Nobody in memory; returns the redo offset."""
        found = self.store.checkpoint()
        begin = min(found.redo, self.committed) if found else 0
        rows = Rows(carried(self.model.engine, self.rows), RING, self.store.sequences)
        self.shoppers = Shoppers(
            self.model,
            rows,
            Sequences(rows, self.model.engine, self.model.card.features),
            ContactBook(
                CODECS.contact,
                self.store.contacts,
                timers=Timers(self.store.records(PREFIX), watermark=found.watermark if found else 0),
                budgets=Budgets(dict(self.store.records(KEY)).get(KEY)),
            ),
            self.store,
            CODECS,
            Clocked(rows, self._interval, self._clock, begin),
            self.committed,
        )
        self.passing.use(self.model, self.policy, self.challenger)
        return begin

    def open_store(self) -> None:
        self.store = Store(self.folder, 1 << 20, 1 << 20)

    def read_on(self, most: int | None = None) -> None:
        """Both changelogs into the store, record by record; at most `most` records of each."""
        for name, log in (("sequences", self.sequences_log), ("contacts", self.contacts_log)):
            start = self.store.meta(name) or 0
            for offset in [offset for offset in log.records if offset >= start][:most]:
                key, value = log.records[offset]
                done = {name: offset + 1}
                if key == CHECKPOINT_KEY:
                    self.store.write({}, {}, done, value)
                elif name == "sequences":
                    self.store.write({key: value}, {}, done)
                else:
                    self.store.write({}, {key: value}, done)

    def process(self, batch: list[Any], local_write: bool = True) -> Work:
        work = self.compute(batch)
        self.finish(work, local_write)
        return work

    def compute(self, batch: list[Any]) -> Work:
        """The pass alone; works are finished in the order of their passes, and the next may compute before."""
        (work,) = self.passing.process([(self.shoppers, batch)])
        return work

    def idle(self, offset: int, clock: int = 0) -> Work:
        """The turn without records of a partition whose next event is `offset`; clock: ms, for timers."""
        work = self.shoppers.idle(offset, self.policy, clock)
        self.finish(work)
        return work

    def finish(self, work: Work, local_write: bool = True) -> None:
        """Commit, and settle unless `local_write` is False: then only a crash may follow."""
        if work.live:
            last = self.commit(work)
            if local_write:
                self.shoppers.settle(work, last)

    def commit(self, work: Work) -> dict[str, int]:
        """The transaction; returns the last changelog offset by name."""
        logs, last = {"sequences": work.sequences_log(), "contacts": list(work.contacts.items())}, {}
        for name, log in (("sequences", self.sequences_log), ("contacts", self.contacts_log)):
            log.append(logs[name])
            if logs[name]:
                last[name] = log.end - 1
        self.published += [(name, value) for name, rows in work.records.items() for _, value in rows]
        self.committed = max(self.committed, work.next_offset)
        return last

    def use(self, release_uri: str) -> None:
        """Another release from the next batch on."""
        self.model = model(release_uri)
        self.passing.use(self.model, self.policy, self.challenger)

    def challenge(self, release_uri: str | None) -> None:
        """A release in shadow from the next batch on, or none."""
        self.challenger = None
        if release_uri is not None:
            found = model(release_uri)
            self.challenger = Challenger(found.engine.release_id, found)
        self.passing.use(self.model, self.policy, self.challenger)

    def crash(self) -> int:
        """Memory is gone; opens again and returns the redo offset."""
        self.store.close()
        return self.open()

    def row(self, user: int) -> np.void:
        slot = self.shoppers.rows.locate([f"user-{user}".encode()])
        return self.shoppers.rows.packed(slot)[0]

    def predictions(self, name: str = "prediction") -> list[dict[str, Any]]:
        """name: "shadow_prediction" for the challenger's."""
        return CODECS.prediction.decode_rows([value for found, value in self.published if found == name])


@cache
def model(release_uri: str) -> Model:
    return Model.of(load(release_uri), read(release_uri))


def release(folder: Path, **changes: Any) -> str:
    return written(folder, **changes).uri


def event_hash(event_id: str) -> int:
    import pyarrow as pa

    return int(hash_strings(pa.array([event_id]))[0])
