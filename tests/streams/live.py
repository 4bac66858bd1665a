"""A partition without Kafka: a log of raw records, both changelogs, the committed offset, and what was published.

`Partition.process` commits a batch as the real one does; `crash` throws memory away, optionally losing the local write
of the last commit; `open` follows the same order as streams/partition.py.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from models.engine import load
from models.events import hash_strings
from models.release import read
from models.usable import Bounds
from schemas.registry import FileRegistry
from streams.checkpoint import Checkpointer
from streams.contacts import ContactBook
from streams.decide import CompiledPolicy
from streams.decode import Decoder
from streams.following import Model
from streams.rows import Rows
from streams.sequences import Sequences
from streams.shoppers import Shoppers, Work
from streams.stages import Codecs
from streams.store import CHECKPOINT_KEY, Store
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


class Partition:
    """See the module's docstring. `rows` bounds the matrix, so that small numbers force evictions."""

    def __init__(
        self, folder: Path, release_uri: str, rows: int = 64, policy: CompiledPolicy | None = None
    ) -> None:
        self.folder, self.rows, self.policy = folder, rows, policy
        self.model = Model(load(release_uri), read(release_uri).card)
        self.sequences_log: list[tuple[bytes, bytes | None]] = []
        self.contacts_log: list[tuple[bytes, bytes | None]] = []
        self.committed = 0
        self.published: list[tuple[str, bytes]] = []  # (schema, value)
        self.open()

    def open(self) -> int:
        """Open from store and changelogs; returns the redo offset."""
        self.store = Store(self.folder, 1 << 20, 1 << 20)
        for offset in range(self.store.meta("sequences") or 0, len(self.sequences_log)):
            key, value = self.sequences_log[offset]
            checkpoint = value if key == CHECKPOINT_KEY else None
            self.store.write({} if checkpoint else {key: value}, {}, {"sequences": offset + 1}, checkpoint)
        for offset in range(self.store.meta("contacts") or 0, len(self.contacts_log)):
            key, value = self.contacts_log[offset]
            self.store.write({}, {key: value}, {"contacts": offset + 1})
        found = self.store.checkpoint()
        begin = min(found.redo, self.committed) if found else 0
        rows = Rows(self.rows, RING, self.model.engine.state_size, self.store.sequences)
        self.shoppers = Shoppers(
            self.model,
            rows,
            Sequences(rows, self.model.engine, self.model.card.features),
            ContactBook(CODECS.contact, self.store.contacts),
            self.store,
            Decoder(CODECS.behavior_event, Bounds(3650, 3600), 1 << 20),
            CODECS,
            Checkpointer(rows, 1e-9, 0.0, begin),
            self.committed,
        )
        self.shoppers.policy = self.policy
        return begin

    def process(self, batch: list[Any], local_write: bool = True) -> Work:
        work = self.shoppers.process(batch)
        if work.live:
            logs, last = self.shoppers.changelog(work), {}
            for name, log in (("sequences", self.sequences_log), ("contacts", self.contacts_log)):
                log.extend(logs[name])
                if logs[name]:
                    last[name] = len(log) - 1
            self.published += [(name, value) for name, rows in work.records.items() for _, value in rows]
            self.committed = max(self.committed, work.next_offset)
            if local_write:
                self.shoppers.settle(work, last)
        return work

    def crash(self) -> int:
        self.store.close()
        return self.open()

    def row(self, user: int) -> np.void:
        slot = self.shoppers.rows.locate([f"user-{user}".encode()])
        return self.shoppers.rows.packed(slot)[0]

    def predictions(self) -> list[dict[str, Any]]:
        return CODECS.prediction.decode_rows(
            [value for name, value in self.published if name == "prediction"]
        )


def release(folder: Path, **changes: Any) -> str:
    return written(folder, **changes).uri


def event_hash(event_id: str) -> int:
    import pyarrow as pa

    return int(hash_strings(pa.array([event_id]))[0])
