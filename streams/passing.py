"""The one pass over what waits in a worker's partitions: decode, rows, LSTM step, heads, decide, checkpoint.

A challenger, where there is one, is stepped with the champion and scored after everything else: what it says goes into
records of its own and is read by no other stage.

It runs in the compute thread and touches no event loop. Whatever needs no state is done for all partitions together,
since a call costs nearly as much for ten events as for a thousand; rows and contacts are each partition's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.release import NotFinite
from streams.candidates import Scored
from streams.challenger import Challenger
from streams.decide import CompiledPolicy
from streams.decode import Dead, Decoder, Events
from streams.model import Model
from streams.recent import Recent, followed_by_lists
from streams.rows import Slots
from streams.scoring import Predicted, predict
from streams.sequences import Applied
from streams.shadow import Shadow
from streams.shoppers import Shoppers, Work
from streams.stages import Codecs, Stages

Array = npt.NDArray[Any]
Lap = Callable[[str], None]
Share = tuple[Shoppers, Sequence[Any]]  # a partition's shoppers, and its raw records in offset order


@dataclass(slots=True)
class Part:
    """One partition in a pass. first: where its events begin among all; fresh: not redo; wanted: to be scored; shadow:
    the challenger's states, None without one and in redo; recent: what the shoppers did whom a list may follow."""

    shoppers: Shoppers
    records: Sequence[Any]
    events: Events
    dead: list[Dead]
    first: int
    slots: Slots
    applied: Applied
    fresh: Array
    wanted: Array
    work: Work
    shadow: Shadow | None
    recent: Recent | None


class Pass:
    """What all partitions share. `use` comes before the first `process`. coalesce: score a shopper's last event only."""

    def __init__(self, codecs: Codecs, decoder: Decoder, coalesce: bool = False) -> None:
        self._codecs, self._decoder, self._coalesce = codecs, decoder, coalesce
        self.model: Model | None = None
        self.policy: CompiledPolicy | None = None
        self.challenger: Challenger | None = None
        self._lists: Array | None = None  # bool (256,), event types after which items are looked up
        self.stages = Stages()

    def use(self, model: Model, policy: CompiledPolicy | None, challenger: Challenger | None = None) -> None:
        """Between two passes: the release and the policy in force from now on, and the release in shadow."""
        self.model, self.policy, self.challenger = model, policy, challenger
        self._lists = None if policy is None or model.shelves is None else followed_by_lists(policy)

    def process(self, shares: Sequence[Share], undoable: bool = False) -> list[Work]:
        """The works of these partitions, in their order. Raises only for faults of ours: every bad record is a dead
        letter.

        undoable: when it raises, rows and contacts are as they were before; else they are lost.
        """
        lap = self.stages.begin()
        events, dead = self._decoder.decode([record for _, records in shares for record in records])
        lap("decode")
        located = []
        for (shoppers, records), own, letters, first in _shared_out(shares, events, dead):
            shoppers.use(self._model, self.challenger)
            located.append((shoppers, records, own, letters, first, shoppers.rows.locate(own.users)))
        lap("rows")
        before = [shoppers.rows.copy(np.unique(slots)) for shoppers, *_, slots in located] if undoable else []
        try:
            return self._process([self._applied(*found, lap) for found in located], events, lap)
        except Exception:
            for (shoppers, *_), saved in zip(located, before, strict=False):
                shoppers.rows.put_back(saved)
                shoppers.contacts.discard()
            raise

    def _applied(
        self,
        shoppers: Shoppers,
        records: Sequence[Any],
        events: Events,
        dead: list[Dead],
        first: int,
        slots: Slots,
        lap: Lap,
    ) -> Part:
        fresh = events.offsets >= shoppers.live_from
        shadow = shoppers.shadow if fresh.any() else None
        if shadow is not None:
            shadow.lap = lap
        recent = self._recent(shoppers, slots, events, fresh)
        applied = shoppers.sequences.apply(slots, events.events, events.ids, events.offsets, shadow)
        redone = np.flatnonzero(applied.scored & ~fresh)
        if len(redone):
            times = np.minimum(events.events["time"][redone], events.timestamps[redone])
            shoppers.contacts.timers.come_to(int(times.max()))  # no clock that ran ahead: see decide
        wanted = np.flatnonzero(applied.scored & fresh)
        if self._coalesce:
            wanted = _last_of_each(slots, wanted)
        work = shoppers.begin(records, applied)
        work.events, work.live = len(events), work.next_offset > shoppers.live_from
        return Part(
            shoppers, records, events, dead, first, slots, applied, fresh, wanted, work, shadow, recent
        )

    def _recent(self, shoppers: Shoppers, slots: Slots, events: Events, fresh: Array) -> Recent | None:
        if self._lists is None:
            return None
        wanted = self._lists[events.events["type"]] & fresh
        return Recent(shoppers.rows, slots, events.events, events.offsets, wanted) if wanted.any() else None

    def _process(self, parts: list[Part], events: Events, lap: Lap) -> list[Work]:
        lap("step")
        predicted = self._predicted(parts, events, lap)
        for part in parts:
            if part.work.live:
                self._conclude(part, predicted)
        lap("decide")
        if self.challenger is not None and not self.challenger.dropped:
            self._in_shadow(self.challenger, parts, events, lap)
        works = [part.shoppers.end(part.work) for part in parts]
        lap("checkpoint")
        return works

    def _predicted(self, parts: list[Part], events: Events, lap: Lap) -> Predicted | None:
        wanted = np.concatenate([part.first + part.wanted for part in parts])
        if not len(wanted):
            return None
        trunks = [
            part.applied.trunk if len(part.wanted) == len(part.events) else part.applied.trunk[part.wanted]
            for part in parts
        ]
        trunk = trunks[0] if len(trunks) == 1 else np.concatenate(trunks)
        deciding = self.policy is not None
        contexts = [part.applied.context for part in parts] if deciding else None
        context = (
            None if contexts is None else contexts[0] if len(contexts) == 1 else np.concatenate(contexts)
        )
        return predict(self._model, self._codecs.prediction, events, trunk, wanted, deciding, lap, context)

    def _in_shadow(self, challenger: Challenger, parts: list[Part], events: Events, lap: Lap) -> None:
        """What the challenger says of the events that the champion was asked about, as records of its own."""
        asked = [part for part in parts if part.shadow is not None and len(part.wanted)]
        if not asked:
            return
        wanted = np.concatenate([part.first + part.wanted for part in asked])
        try:
            trunk = np.concatenate([part.shadow.trunk[part.wanted] for part in asked if part.shadow])
            codec = self._codecs.prediction
            model = challenger.model
            found = predict(
                model, codec, events, trunk, wanted, False, lambda stage: lap(f"shadow_{stage}"), None, True
            )
            if len(found.at) < len(wanted):
                raise NotFinite(
                    f"{challenger.release} gives no finite scores for {len(wanted) - len(found.at)} of "
                    f"{len(wanted)} events"
                )
        except Exception as fault:
            challenger.drop(fault)
            return
        for part in asked:
            part.work.records["shadow_prediction"] = found.between(
                part.first, part.first + len(part.events)
            ).records

    def _conclude(self, part: Part, predicted: Predicted | None) -> None:
        """Predictions, decisions and dead letters of a partition that publishes."""
        at, work, scored = np.empty(0, np.int64), part.work, None
        if predicted is not None:
            own = predicted.between(part.first, part.first + len(part.events))
            at, scored = own.at, own.scored
            if scored is not None:
                _tell_history(scored, part, at)
            if own.records:
                work.records["prediction"] = own.records
        said = part.shoppers.said(work, part.events, part.fresh, at)
        part.shoppers.decide(work, scored if len(at) else None, said, self.policy)
        dead = part.dead
        if part.applied.failed.any() or len(at) < len(part.wanted):
            failed = np.union1d(
                np.flatnonzero(part.applied.failed & part.fresh), np.setdiff1d(part.wanted, at)
            )
            dead = dead + _not_finite(part.records, part.events.offsets[failed])
        part.shoppers.bury(work, dead)

    @property
    def _model(self) -> Model:
        assert self.model is not None
        return self.model


def _tell_history(scored: Scored, part: Part, at: Array) -> None:
    """The history of the events `at`, where the batch had any that a list may follow; else nothing can be looked up."""
    if part.recent is None:
        scored.look_ups = None
    elif scored.look_ups is not None:
        part.recent.counted, part.recent.at = part.applied.scored | part.applied.failed, at
        scored.look_ups.history = part.recent


def _shared_out(
    shares: Sequence[Share], events: Events, dead: list[Dead]
) -> list[tuple[Share, Events, list[Dead], int]]:
    """Each partition's own events and dead records, and where its events begin. They come in the order of the shares."""
    if len(shares) == 1:
        return [(shares[0], events, dead, 0)]
    letters: dict[int, list[Dead]] = {}
    for letter in dead:
        letters.setdefault(letter.record.partition, []).append(letter)
    found, first = [], 0
    for share in shares:
        own = letters.get(share[1][0].partition, []) if share[1] else []
        stop = first + len(share[1]) - len(own)
        found.append((share, events.between(first, stop), own, first))
        first = stop
    return found


def _last_of_each(slots: Slots, at: Array) -> Array:
    """With `coalesce_predictions`: each shopper's last of the events `at`."""
    _, from_end = np.unique(slots[at][::-1], return_index=True)
    return np.sort(at[len(at) - 1 - from_end])


def _not_finite(records: Sequence[Any], offsets: Array) -> list[Dead]:
    """Dead letters of the events at these offsets, whose scores are no numbers."""
    wanted = set(offsets.tolist())
    message = "the release gives no finite score for this event; promote another release, then redrive"
    return [Dead(record, "not_finite", message) for record in records if record.offset in wanted]
