"""Steps shoppers' rows through events: one model step per event with carried state, or a rebuild from the ring.

A row is rebuilt when another release made its hidden state, or when an event came late: the ring is put in time order
and the model runs over it from a zero state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from models.carried import windows
from models.engine import Engine
from models.events import TYPE_CODE
from models.featurizer import FeatureSpec, featurize, step_context
from streams.rows import Rows, Slots

Array = npt.NDArray[Any]


ERASURE = TYPE_CODE["erasure"]


@dataclass(slots=True)
class Applied:
    """What became of a batch of N events. trunk f4 (N, T) holds a row for each event with `scored`.

    failed: the model gave no finite numbers; the event counts in ring and counters, the model's state stays as it was.
    """

    trunk: npt.NDArray[np.float32]
    scored: npt.NDArray[np.bool_]
    failed: npt.NDArray[np.bool_]
    doubles: int = 0
    late: int = 0
    too_late: int = 0
    skipped: int = 0  # already in the row (redo)
    rounds: int = 0
    rebuilt: int = 0


def release_hash(release: str) -> int:
    return crc32(release.encode()) or 1


class Sequences:
    """Applies events to `rows` with `engine`. Swap the engine between two batches with `use`."""

    def __init__(self, rows: Rows, engine: Engine, spec: FeatureSpec) -> None:
        self._rows, self._spec = rows, spec
        self.use(engine)

    def use(self, engine: Engine) -> None:
        self.engine = engine
        self._rows.hidden.use(engine)
        self._release = release_hash(engine.release_id)

    def apply(self, slots: Slots, events: Array, ids: Array, offsets: Array) -> Applied:
        """Apply events (N,) of EVENT with ids u8 and source offsets i8, in log order, to the rows at slots (N,).

        Events of one shopper go in rounds: round r holds every shopper's r-th event of the batch.
        """
        n = len(slots)
        done = Applied(
            np.zeros((n, self.engine.trunk_size), np.float32), np.zeros(n, bool), np.zeros(n, bool)
        )
        if n == 0:
            return done
        self._renew(np.unique(slots), done)
        for at in _rounds(slots):
            self._round(at, slots[at], events[at], ids[at], offsets[at], done)
            done.rounds += 1
        return done

    def _round(
        self, at: Array, slots: Slots, events: Array, ids: Array, offsets: Array, done: Applied
    ) -> None:
        meta = self._rows.meta
        fresh = offsets > meta["applied"][slots]
        erasure = fresh & (events["type"] == ERASURE)
        if erasure.any():
            self._rows.empty(slots[erasure])
        double = (self._rows.ids[slots] == ids[:, None]).any(axis=1) & fresh & ~erasure
        context = meta["context"][slots]
        counts = fresh & ~double & ~erasure
        late = counts & (events["time"] < context["previous_time"]) & (context["events"] > 0)
        ordinary = counts & ~late
        done.skipped += int((~fresh).sum())
        done.doubles += int(double.sum())
        meta["applied"][slots[fresh]] = offsets[fresh]
        self._rows.dirty[slots[fresh]] = True
        if ordinary.all():
            self._step(at, slots, events, ids, context, done)
        elif ordinary.any():
            o = ordinary
            self._step(at[o], slots[o], events[o], ids[o], context[o], done)
        if late.any():
            self._insert(at[late], slots[late], events[late], ids[late], done)

    def _step(
        self, at: Array, slots: Slots, events: Array, ids: Array, context: Array, done: Applied
    ) -> None:
        rows, features = self._rows, featurize(events, context, self._spec)
        trunk = rows.hidden.step(features.ids, features.dense, slots)
        good = np.isfinite(trunk.sum(1))
        done.trunk[at], done.scored[at], done.failed[at] = trunk, good, ~good
        self._push(slots, events, ids)
        rows.meta["context"][slots] = step_context(events, context, self._spec)
        rows.meta["release"][slots] = self._release

    def _push(self, slots: Slots, events: Array, ids: Array) -> None:
        rows, meta, ring = self._rows, self._rows.meta, self._rows.ring_size
        head, length = meta["head"][slots], meta["length"][slots]
        full = length == ring
        if full.any():
            out = slots[full]
            meta["base"][out] = step_context(rows.ring[out, head[full]], meta["base"][out], self._spec)
        rows.ring[slots, head] = events
        rows.ids[slots, head] = ids
        meta["head"][slots] = (head + 1) % ring
        meta["length"][slots] = np.minimum(length + 1, ring)

    def _insert(self, at: Array, slots: Slots, events: Array, ids: Array, done: Applied) -> None:
        """Late events: each goes to its place by time in its shopper's ring, and the state is rebuilt."""
        rows, meta = self._rows, self._rows.meta
        for slot, event, event_id in zip(slots.tolist(), events, ids, strict=True):
            held, held_ids = self._in_order(slot)
            if len(held) == rows.ring_size and event["time"] < held["time"][0]:
                done.too_late += 1
                continue
            done.late += 1
            place = int(np.searchsorted(held["time"], event["time"], side="right"))
            held = np.insert(held, place, event)
            held_ids = np.insert(held_ids, place, event_id)
            if len(held) > rows.ring_size:
                meta["base"][slot] = step_context(held[:1], meta["base"][slot : slot + 1], self._spec)[0]
                held, held_ids = held[1:], held_ids[1:]
            rows.ring[slot, : len(held)], rows.ids[slot, : len(held)] = held, held_ids
            meta["length"][slot], meta["head"][slot] = len(held), len(held) % rows.ring_size
        done.trunk[at], good = self.rebuild(slots)
        done.scored[at], done.failed[at] = good, ~good

    def _in_order(self, slot: int) -> tuple[Array, Array]:
        meta, ring = self._rows.meta[slot], self._rows.ring_size
        order = (int(meta["head"]) - int(meta["length"]) + np.arange(int(meta["length"]))) % ring
        return self._rows.ring[slot, order], self._rows.ids[slot, order]

    def _renew(self, slots: Slots, done: Applied) -> None:
        """Rebuild the rows whose hidden state another release made."""
        meta = self._rows.meta
        stale = slots[(meta["release"][slots] != self._release) & (meta["length"][slots] > 0)]
        if len(stale):
            self.rebuild(stale)
            done.rebuilt += len(stale)

    def rebuild(self, slots: Slots) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Run the model over the rings (S,) from a zero state.

        Returns the trunk (S, T) after the newest event, and whether that one is finite (S,).
        """
        rows, meta = self._rows, self._rows.meta
        length = meta["length"][slots].astype(np.int64)
        start = (meta["head"][slots].astype(np.int64) - length) % rows.ring_size
        context = meta["base"][slots]
        first = np.cumsum(length) - length
        ids = np.empty((int(length.sum()), len(self._spec.vocabulary())), np.int32)
        dense = np.empty((len(ids), self._spec.dense_size), np.float32)
        for place in range(int(length.max(initial=0))):
            has = np.flatnonzero(length > place)
            events = rows.ring[slots[has], (start[has] + place) % rows.ring_size]
            features = featurize(events, context[has], self._spec)
            ids[first[has] + place], dense[first[has] + place] = features.ids, features.dense
            context[has] = step_context(events, context[has], self._spec)
        trunk, hidden = windows(self.engine, ids, dense, length)
        rows.hidden.write(slots, hidden)
        meta["context"][slots] = context
        meta["release"][slots] = self._release
        rows.dirty[slots] = True
        return trunk, np.isfinite(trunk.sum(1))


def _rounds(slots: Slots) -> list[Array]:
    """Positions of the batch by round: round r has each shopper's r-th event, in batch order."""
    order = np.argsort(slots, kind="stable")
    grouped = slots[order]
    heads = np.flatnonzero(np.concatenate([[True], grouped[1:] != grouped[:-1]]))
    if len(heads) == len(slots):
        return [np.arange(len(slots))]
    rank = np.empty(len(slots), np.int64)
    rank[order] = np.arange(len(slots)) - np.repeat(heads, np.diff(np.append(heads, len(slots))))
    by_rank = np.argsort(rank, kind="stable")
    return np.split(by_rank, np.cumsum(np.bincount(rank))[:-1])
