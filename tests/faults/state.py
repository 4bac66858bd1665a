"""What the next owner of a partition would find: the changelogs on an empty disk, or a worker's disk and the rest of them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rocksdict import Options, Rdict

from schemas.codec import Codec
from schemas.registry import FileRegistry
from streams.store import CHECKPOINT_KEY, IDENTITY, Checkpoint, Store
from tests.faults.shop import Raw, Shop


@dataclass
class Kept:
    """State of a partition before redo: stored rows and contacts by shopper, and the offset to redo from."""

    sequences: dict[bytes, bytes]
    contacts: dict[bytes, bytes]
    redo: int


class Changelogs:
    """Both changelogs of a shop as they are now."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._sequences = shop.read(shop.topics.sequences_changelog)
        self._contacts = shop.read(shop.topics.contacts_changelog)

    @property
    def records(self) -> int:
        """Records that are left in the sequences changelog: compaction makes them fewer."""
        return len(self._sequences)

    def contacts(self) -> dict[str, dict[str, Any]]:
        """The last contact of every shopper, decoded."""
        values = [raw.value for raw in self._contacts if not (raw.key or b"").startswith(b"\x00")]
        rows = Codec(FileRegistry(), "contact").decode_rows(values)
        return {row["user_id"]: row for row in rows}

    def on_empty_disk(self, number: int) -> Kept:
        """As a worker on a new machine has it."""
        kept = Kept({}, {}, 0)
        self._read_on(kept, number, 0, 0)
        return kept

    def on_disk(self, stores: Path, number: int, users: Sequence[bytes]) -> Kept:
        """As a worker has it that starts with the stores of `stores`; asked for the state of these shoppers."""
        store = _copied(stores / f"{self._shop.topics.behavior_events}-{number}")
        try:
            sequences = dict(zip(users, store.sequences(list(users)), strict=True))
            contacts = dict(zip(users, store.contacts([user.decode() for user in users]), strict=True))
            contacts |= dict(store.records(b"\x00"))  # timers and budgets
            checkpoint = store.checkpoint()
            kept = Kept(
                {user: row for user, row in sequences.items() if row is not None},
                {user: row for user, row in contacts.items() if row is not None},
                0 if checkpoint is None else checkpoint.redo,
            )
            self._read_on(kept, number, store.meta("sequences") or 0, store.meta("contacts") or 0)
        finally:
            store.close()
        return kept

    def _read_on(self, kept: Kept, number: int, sequences_from: int, contacts_from: int) -> None:
        for raw in _after(self._sequences, number, sequences_from):
            if raw.key == CHECKPOINT_KEY and raw.value is not None:
                kept.redo = Checkpoint.decode(raw.value).redo
            elif raw.key is not None and raw.value is not None:
                kept.sequences[raw.key] = raw.value
        for raw in _after(self._contacts, number, contacts_from):
            if raw.key is not None and raw.value is not None:
                kept.contacts[raw.key] = raw.value
            elif raw.key is not None:
                kept.contacts.pop(raw.key, None)


def _copied(folder: Path) -> Store:
    """A store opened as its owner would, whoever that is; on a copy, because opening may delete what is strange."""
    copy = folder.with_name(f"{folder.name}-copy")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    opened = Rdict(str(copy), Options(raw_mode=True))
    identity = opened.get(IDENTITY)
    opened.close()
    return Store(copy, 1 << 20, 1 << 20, identity.decode())


def _after(log: Sequence[Raw], number: int, offset: int) -> list[Raw]:
    return [raw for raw in log if raw.partition == number and raw.offset >= offset]
