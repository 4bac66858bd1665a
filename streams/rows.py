"""The hot shoppers of one partition: a matrix of sequence rows over the partition's RocksDB.

It works like a database's buffer pool: `locate` finds or loads the rows a batch needs, the batch changes them in
place, and rows go back to the store only at a checkpoint or when a changed one has to make room. A row is a pure
function of the shopper's events up to its `applied` offset.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from models.carried import Carried
from models.context import CONTEXT
from models.engine import in_chunks
from models.events import EVENT
from models.structured import plain
from streams.grouping import Groups
from streams.store import StoreProblem

Array = npt.NDArray[Any]
Slots = npt.NDArray[np.int64]
Loader = Callable[[list[bytes]], list[bytes | None]]
COMPARED_AT_ONCE = 256  # rings whose ids are in the CPU's cache at a time

META = np.dtype(
    [
        ("applied", "<i8"),  # source offset of the last event in the row, -1 = none
        ("context", CONTEXT),  # what the featurizer needs of the past, after the newest event
        ("base", CONTEXT),  # the same before the oldest event of the ring: where a rebuild starts
        ("release", "<u4"),  # hash of the release whose hidden state this is, 0 = none
        ("length", "<u2"),  # events in the ring
        ("head", "<u2"),  # where the next event goes
    ]
)


class RowsTooSmall(RuntimeError):
    """The matrix cannot hold one batch: INTENTFLOW_HOT_ROWS is too small for INTENTFLOW_BATCH_RECORDS."""


_BOTH = np.dtype({"names": ["both"], "formats": ["V96"], "offsets": [8], "itemsize": META.itemsize})


def both_contexts(meta: Array) -> Array:
    """A copy of `context` and `base` of META (G,), taking turns: CONTEXT (2G,)."""
    return meta.view(_BOTH)["both"].copy().view(CONTEXT)


def set_both_contexts(meta: Array, contexts: Array) -> None:
    """The other way round."""
    meta.view(_BOTH)["both"] = contexts.view("V96")


def row_dtype(ring: int, state: int) -> np.dtype[np.void]:
    """Stored form of a row: meta, ids of the ring (u8), the ring (EVENT), hidden state (f4, the model's layout)."""
    return np.dtype(
        [("meta", META), ("ids", "<u8", (ring,)), ("ring", EVENT, (ring,)), ("hidden", "<f4", (state,))],
        align=False,
    )


class Saved(NamedTuple):
    """Rows at one moment."""

    slots: Slots
    meta: Array
    ids: Array
    ring: Array
    hidden: Any  # as Carried.save gives it
    dirty: Array


class Rows:
    """Fixed number of sequence rows, addressed by slot.

    meta META (R,), ids u8 (R, ring), ring EVENT (R, ring); `hidden` carries the model's states, in host memory or on a
    GPU. `load` fetches stored rows by key.
    Memory is R × (meta + ring × 32 + state × 4) bytes, touched only as far as rows are used.
    """

    def __init__(self, hidden: Carried, ring: int, load: Loader) -> None:
        rows = hidden.size
        self.size, self.ring_size, self.hidden = rows, ring, hidden
        self.stored = row_dtype(ring, hidden.state_size)
        self.meta = np.zeros(rows, META)
        self.meta["applied"] = -1
        self.ids = np.zeros((rows, ring), np.uint64)
        self.ring = np.zeros((rows, ring), EVENT)
        self.dirty = np.zeros(rows, bool)
        self._recent = np.zeros(rows, bool)
        self._keys: list[bytes | None] = [None] * rows
        self._slots: dict[bytes, int] = {}
        self._load = load
        self._used = 0
        self._hand = 0
        self._unsettled: dict[bytes, bytes | None] = {}  # rows as they were sent, until they are in the store
        self._unsent: dict[
            bytes, bytes | None
        ] = {}  # changed rows that made room and that no transaction has yet
        self.evictions = 0

    def __len__(self) -> int:
        return len(self._slots)

    def locate(self, users: Sequence[bytes]) -> Slots:
        """Slots (N,) of the shoppers, loading and making rows as needed. No slot of this batch is reused within it."""
        found = list(map(self._slots.get, users))
        if None in found:
            missing = list(
                dict.fromkeys(user for user, slot in zip(users, found, strict=True) if slot is None)
            )
            pinned = np.fromiter((slot for slot in found if slot is not None), np.int64)
            self._admit(missing, pinned)
            found = list(map(self._slots.__getitem__, users))
        slots = np.array(found, np.int64)
        self._recent[slots] = True
        return slots

    def holds(self, slots: Slots, ids: Array) -> npt.NDArray[np.bool_]:
        """Whether the rings at slots (N,), a slot as often as you like, hold the ids u8 (N,)."""
        held = np.zeros(len(slots), bool)
        for part in in_chunks(len(slots), COMPARED_AT_ONCE):
            same = self.ids[slots[part]] == ids[part, None]
            if same.any():  # hardly ever
                held[part] = same.any(axis=1)
        return held

    def push(self, groups: Groups, meta: Array, events: Array, ids: Array) -> tuple[Array, Array]:
        """Put events and ids (N,) of the groups' shoppers into their rings, and move on `head` and `length` in meta (G,).

        meta: a copy of the shoppers'. Returns the events that leave the rings, in order, and the group of each.
        """
        ring, counts, owner = self.ring_size, groups.counts, groups.owner
        head, length = meta["head"].astype(np.int64), meta["length"].astype(np.int64)
        place, events_held, ids_held = groups.place, self.ring.reshape(-1), self.ids.reshape(-1)
        into = (groups.slots * ring)[owner] + (head[owner] + place) % ring
        leaving = (length[owner] + place >= ring).nonzero()[0]
        left = events_held.take(into[leaving])
        if counts.max() > ring:  # some come and leave within the batch, and only the last stay
            passing = (place[leaving] >= ring).nonzero()[0]
            left.put(passing, events.take(leaving[passing] - ring))
            stay = place >= (counts - ring)[owner]
            into, events, ids = into[stay], events.compress(stay), ids[stay]
        events_held.put(into, events)
        ids_held[into] = ids
        meta["head"] = (head + counts) % ring
        meta["length"] = np.minimum(length + counts, ring)
        return left, owner[leaving]

    def held(self, slots: Slots) -> tuple[Array, Array, Array, Array]:
        """What the rings at slots (S,) hold, oldest first, one shopper after the other: position in slots and EVENT, each
        (N,); how many of each shopper, and CONTEXT before the oldest, each (S,)."""
        meta = self.meta.take(slots)
        lengths = meta["length"].astype(np.int64)
        whose = np.arange(len(slots)).repeat(lengths)
        place = np.arange(len(whose)) - (lengths.cumsum() - lengths)[whose]
        oldest = (meta["head"] - lengths)[whose]
        at = slots[whose] * self.ring_size + (oldest + place) % self.ring_size
        return whose, self.ring.reshape(-1).take(at), lengths, meta["base"]

    def copy(self, slots: Slots) -> Saved:
        """These rows as they are now, for `put_back`. slots: each once."""
        return Saved(
            slots,
            self.meta.take(slots),
            self.ids[slots],
            self.ring.take(slots, axis=0),
            self.hidden.save(slots),
            self.dirty[slots],
        )

    def put_back(self, saved: Saved) -> None:
        """Undo what was done to the rows since `copy`."""
        at = saved.slots
        self._set(at, saved.meta, saved.ids, saved.ring)
        self.dirty[at] = saved.dirty
        self.hidden.restore(at, saved.hidden)

    def take(self, slots: Slots) -> dict[bytes, bytes | None]:
        """Stored form of these rows by key, None for an emptied one; they count as clean: they go out with the running
        transaction."""
        self.dirty[slots] = False
        data = self.packed(slots)
        keys, lengths = self._keys, data["meta"]["length"].tolist()
        taken = {
            key: bytes(row) if length else None
            for slot, row, length in zip(slots.tolist(), plain(data), lengths, strict=True)
            if (key := keys[slot]) is not None
        }
        self._unsettled |= taken
        return taken

    def empty(self, slots: Slots) -> None:
        """As if their shoppers had never been seen; goes to store and changelog like any change, as a tombstone."""
        self._clear(slots)
        self.dirty[slots] = True

    def packed(self, slots: Slots) -> npt.NDArray[np.void]:
        """Rows as structured array (N,) of `row_dtype`."""
        data = np.empty(len(slots), self.stored)
        plain(data["meta"])[:], plain(data["ring"])[:] = plain(self.meta)[slots], plain(self.ring)[slots]
        data["ids"] = self.ids[slots]
        data["hidden"] = self.hidden.read(slots)
        return data

    def outgoing(self) -> dict[bytes, bytes | None]:
        """Stored form by key of the changed rows that made room since the last call: they go out with this batch."""
        unsent, self._unsent = self._unsent, {}
        return unsent

    def settled(self, written: Mapping[bytes, bytes | None]) -> None:
        """These are committed and in the store; what was evicted again meanwhile is not among them."""
        for key in self._unsettled.keys() & written.keys():
            if self._unsettled[key] is written[key]:
                del self._unsettled[key]

    def _admit(self, users: list[bytes], pinned: Slots) -> None:
        slots = self._free(len(users), pinned)
        values = self._read(users)
        held = [at for at, value in enumerate(values) if value is not None]
        if held:
            data = np.frombuffer(b"".join(v for v in values if v is not None), self.stored)
            into = slots[held]
            self._set(into, data["meta"], data["ids"], data["ring"])
            self.hidden.write(into, data["hidden"])
        for user, slot in zip(users, slots.tolist(), strict=True):
            self._slots[user] = slot
            self._keys[slot] = user

    def _read(self, users: list[bytes]) -> list[bytes | None]:
        values = self._load(users)
        width = self.stored.itemsize
        for at, user in enumerate(users):
            value = self._unsettled.get(user, values[at])
            if value is not None and len(value) != width:
                raise StoreProblem(
                    f"stored row of shopper {user!r} has {len(value)} bytes, this worker's rows have {width}: "
                    "INTENTFLOW_RING_EVENTS or the model's state size changed. Put it back, or delete data folder and "
                    "changelog topics: rows are then redone from the retained events"
                )
            values[at] = value
        return values

    def _free(self, count: int, pinned: Slots) -> Slots:
        fresh = min(count, self.size - self._used)
        slots = np.arange(self._used, self._used + fresh)
        self._used += fresh
        if fresh == count:
            return slots
        return np.concatenate([slots, self._evict(count - fresh, np.concatenate([pinned, slots]))])

    def _evict(self, count: int, pinned: Slots) -> Slots:
        """Clock: pass over the rows, spare those used since the last pass, take the others."""
        if count + len(np.unique(pinned)) > self.size:
            raise RowsTooSmall(
                f"a batch needs {count + len(np.unique(pinned))} rows, this partition has {self.size}: "
                "raise INTENTFLOW_HOT_ROWS or lower INTENTFLOW_BATCH_RECORDS"
            )
        blocked = np.zeros(self.size, bool)
        blocked[pinned] = True
        taken: list[Slots] = []
        missing = count
        while missing:
            block = (self._hand + np.arange(min(4096, self.size))) % self.size
            free = block[~(self._recent[block] | blocked[block])][:missing]
            last = len(block) if len(free) < missing else int(np.flatnonzero(block == free[-1])[0]) + 1
            self._recent[block[:last]] = False
            self._hand = int((self._hand + last) % self.size)
            blocked[free] = True
            taken.append(free)
            missing -= len(free)
        slots = np.concatenate(taken)
        self._unsent |= self.take(slots[self.dirty[slots]])
        for slot in slots.tolist():
            key = self._keys[slot]
            if key is not None:
                del self._slots[key]
        self.evictions += count
        self._clear(slots)
        return slots

    def _set(self, slots: Slots, meta: Array, ids: Array, ring: Array) -> None:
        plain(self.meta)[slots], plain(self.ring)[slots] = plain(meta), plain(ring)
        self.ids[slots] = ids

    def _clear(self, slots: Slots) -> None:
        plain(self.meta)[slots] = np.zeros(1, META).view(plain(self.meta).dtype)
        self.meta["applied"][slots] = -1
        self.ids[slots] = 0
        plain(self.ring)[slots] = np.zeros(1, EVENT).view(plain(self.ring).dtype)
        self.hidden.clear(slots)
        self.dirty[slots] = False
