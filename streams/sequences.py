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

from models.carried import finite, windows
from models.context import CONTEXT, advance, context_within, step_context
from models.engine import Engine, in_chunks
from models.events import TYPE_CODE
from models.featurizer import FeatureSpec, featurize
from models.structured import joined
from streams.grouping import Groups, by_shopper
from streams.rows import Rows, Slots, both_contexts, set_both_contexts
from streams.shadow import Shadow

Array = npt.NDArray[Any]


ERASURE = TYPE_CODE["erasure"]
EARLIEST = np.iinfo(np.int64).min
REBUILT_AT_ONCE = 256  # rows: the features of all events of their rings are in memory at a time


@dataclass(slots=True)
class Applied:
    """What became of a batch of N events. trunk f4 (N, T) holds a row for each event with `scored`.

    failed: the model gave no finite numbers; the event counts in ring and counters, the model's state stays as it was.
    context CONTEXT (N,): what the shopper had done before the event; of a late one, all that was known when it came.
    """

    trunk: npt.NDArray[np.float32]
    scored: npt.NDArray[np.bool_]
    failed: npt.NDArray[np.bool_]
    context: Array
    doubles: int = 0
    late: int = 0
    too_late: int = 0
    skipped: int = 0  # already in the row (redo)
    rebuilt: int = 0


def release_hash(release: str) -> int:
    return crc32(release.encode()) or 1


class Sequences:
    """Applies events to `rows` with `engine`. Swap the engine between two batches with `use`."""

    def __init__(self, rows: Rows, engine: Engine, spec: FeatureSpec) -> None:
        self._rows, self._spec = rows, spec
        self._shadow: Shadow | None = None  # of the batch that is applied
        self.use(engine)

    def use(self, engine: Engine, spec: FeatureSpec | None = None) -> None:
        """spec: what the engine was trained to read, where it may be another one than before."""
        self.engine, self._spec = engine, spec or self._spec
        self._rows.hidden.use(engine)
        self._release = release_hash(engine.release_id)

    def apply(
        self, slots: Slots, events: Array, ids: Array, offsets: Array, shadow: Shadow | None = None
    ) -> Applied:
        """Apply events (N,) of EVENT with ids u8 and source offsets i8, in log order, to the rows at slots (N,).

        Events at offsets up to a row's `applied` are in it already; a shopper's offsets rise. Shoppers whose events are in
        order of time, no doubles and no erasures take the short way: all events at once, but for the model. The others
        go in rounds: round r holds every shopper's r-th event. shadow: a challenger, which is stepped beside it.
        """
        n = len(slots)
        done = Applied(
            np.zeros((n, self.engine.trunk_size), np.float32),
            np.zeros(n, bool),
            np.zeros(n, bool),
            np.zeros(n, CONTEXT),
        )
        at = np.flatnonzero(offsets > self._rows.meta["applied"][slots])
        done.skipped = n - len(at)
        if not len(at):
            return done
        groups = by_shopper(slots, at)
        touched, self._shadow = groups.slots, shadow
        if shadow is not None:
            shadow.begin(touched, n)
        self._renew(groups.slots, done)
        odd = self._odd(groups, events, ids)
        if odd.any():
            odd = np.logical_or.reduceat(odd, groups.heads)  # of any event, of the shopper
            careful = np.sort(groups.order[odd[groups.owner]])
            for rows in _rounds(slots[careful]):
                at = careful[rows]
                self._round(at, slots[at], events.take(at), ids[at], offsets[at], done)
            groups = groups.only(~odd)
        if len(groups.order):
            self._at_once(groups, events.take(groups.order), ids[groups.order], offsets, done)
        if shadow is not None:
            shadow.end(touched)
        return done

    def _odd(self, groups: Groups, events: Array, ids: Array) -> npt.NDArray[np.bool_]:
        """Which events (N,), in the groups' order, are, or may turn out, a double, late or an erasure."""
        rows, order = self._rows, groups.order
        context = rows.meta.take(groups.slots)["context"]
        times, ids = events["time"][order], ids[order]
        latest = np.empty_like(times)
        latest[1:] = times[:-1]
        latest[groups.heads] = np.where(context["events"] > 0, context["previous_time"], EARLIEST)
        odd = times < latest
        odd |= (events["type"] == ERASURE)[order]
        odd |= rows.holds(groups.slots[groups.owner], ids)
        ordered = np.sort(ids)
        twice = ordered[1:] == ordered[:-1]
        if twice.any():
            odd |= np.isin(ids, ordered[1:][twice])
        return odd

    def _at_once(self, groups: Groups, events: Array, ids: Array, offsets: Array, done: Applied) -> None:
        """Ordinary events (N,) of the groups, in their order: all of them at once, and then the model in rounds."""
        rows, spec = self._rows, self._spec
        meta = rows.meta.take(groups.slots)
        left, whose = rows.push(groups, meta, events, ids)
        # What leaves the ring moves `base` on as what comes moves `context`: as if of as many shoppers more.
        both = joined(events, left)
        shopper = np.concatenate([2 * groups.owner, 2 * whose + 1])
        start = both_contexts(meta)
        before = context_within(shopper, both, start, spec)
        set_both_contexts(meta, advance(shopper, both, before, start, spec))
        meta["applied"], meta["release"] = offsets[groups.order[groups.tails]], self._release
        turn, longest, sizes = groups.rounds()
        events, before, at = events.take(turn), before.take(turn), groups.order[turn]
        features = featurize(events, before, spec)
        trunk, good = rows.hidden.steps(features.ids, features.dense, groups.slots[longest], sizes)
        done.trunk[at], done.scored[at], done.failed[at] = trunk, good, ~good
        done.context.put(at, before)
        if self._shadow is not None:
            self._shadow.steps(at, events, before, features, groups.slots[longest], sizes)
        rows.meta.put(groups.slots, meta)
        rows.dirty[groups.slots] = True

    def _round(
        self, at: Array, slots: Slots, events: Array, ids: Array, offsets: Array, done: Applied
    ) -> None:
        """One event each of the shoppers at slots."""
        rows, meta = self._rows, self._rows.meta
        erasure = events["type"] == ERASURE
        if erasure.any():
            rows.empty(slots[erasure])
            if self._shadow is not None:
                self._shadow.forget(slots[erasure])
        double = rows.holds(slots, ids) & ~erasure
        context = meta.take(slots)["context"]
        counts = ~double & ~erasure
        late = counts & (events["time"] < context["previous_time"]) & (context["events"] > 0)
        ordinary = counts & ~late
        done.doubles += int(double.sum())
        meta["applied"][slots] = offsets
        rows.dirty[slots] = True
        if ordinary.any():
            o = ordinary
            self._step(at[o], slots[o], events.compress(o), ids[o], context.compress(o), done)
        if late.any():
            self._insert(at[late], slots[late], events.compress(late), ids[late], done)

    def _step(
        self, at: Array, slots: Slots, events: Array, ids: Array, context: Array, done: Applied
    ) -> None:
        rows, features = self._rows, featurize(events, context, self._spec)
        trunk, good = rows.hidden.steps(features.ids, features.dense, slots, [len(slots)])
        done.trunk[at], done.scored[at], done.failed[at] = trunk, good, ~good
        done.context.put(at, context)
        if self._shadow is not None:
            self._shadow.steps(at, events, context, features, slots, [len(slots)])
        meta = rows.meta.take(slots)
        self._push(slots, meta, events, ids)
        meta["context"], meta["release"] = step_context(events, context, self._spec), self._release
        rows.meta.put(slots, meta)

    def _push(self, slots: Slots, meta: Array, events: Array, ids: Array) -> None:
        """An event each into the rings of the shoppers at slots; meta: a copy of theirs, which is moved on."""
        rows, ring = self._rows, self._rows.ring_size
        head, length = meta["head"].astype(np.int64), meta["length"]
        place = slots * ring + head
        full = length == ring
        if full.any():
            left = rows.ring.reshape(-1).take(place[full])
            meta["base"][full] = step_context(left, meta["base"].compress(full), self._spec)
        rows.ring.reshape(-1).put(place, events)
        rows.ids.reshape(-1)[place] = ids
        meta["head"] = (head + 1) % ring
        meta["length"] = np.minimum(length + 1, ring)

    def _insert(self, at: Array, slots: Slots, events: Array, ids: Array, done: Applied) -> None:
        """Late events: each goes to its place by time in its shopper's ring, and the state is rebuilt."""
        rows, meta = self._rows, self._rows.meta
        done.context.put(at, meta.take(slots)["context"])
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
        if self._shadow is not None:
            self._shadow.rebuild(at, slots)

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
        trunk = np.empty((len(slots), self.engine.trunk_size), np.float32)
        for part in in_chunks(len(slots), REBUILT_AT_ONCE):
            trunk[part] = self._rebuild(slots[part])
        self._rows.meta["release"][slots] = self._release
        self._rows.dirty[slots] = True
        return trunk, finite(trunk)

    def _rebuild(self, slots: Slots) -> npt.NDArray[np.float32]:
        rows, spec = self._rows, self._spec
        whose, events, lengths, base = rows.held(slots)
        context = context_within(whose, events, base, spec)
        features = featurize(events, context, spec)
        trunk, hidden = windows(self.engine, features.ids, features.dense, lengths)
        rows.hidden.write(slots, hidden)
        meta = rows.meta.take(slots)
        meta["context"] = advance(whose, events, context, base, spec)
        rows.meta.put(slots, meta)
        return trunk


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
