"""A second hidden state beside each hot row: the challenger's, stepped right after the champion's and never acted on.

It goes by the champion's rows: their ring, contexts and slots. Only its hidden states are its own, and they are not
persisted. A state is known by the offset of the last event in it; where that is not the row's (the shopper came into
memory, the worker started, a batch was undone), it is rebuilt from the ring first. So a challenger's scores are those of a
window of at least the last W events (INTENTFLOW_RING_EVENTS): the same for the same log while the ring holds all of a
shopper's events, and beyond that up to what the model remembers of events before the ring.

Nothing that goes wrong here reaches the champion: see `_apart`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec

import numpy as np
import numpy.typing as npt

from models.carried import carried, finite, windows
from models.context import context_within
from models.engine import in_chunks
from models.featurizer import Features, FeatureSpec, featurize
from models.release import NotFinite
from streams.challenger import Challenger
from streams.rows import Rows, Slots

Array = npt.NDArray[Any]
P = ParamSpec("P")

NOTHING = -2  # offset of a state that is none; a row without events has -1
REBUILT_AT_ONCE = 256  # rows


def _apart(act: Callable[Concatenate[Shadow, P], None]) -> Callable[Concatenate[Shadow, P], None]:
    """A step of the challenger alone: its time is booked apart, and when it raises the challenger is dropped."""

    @wraps(act)
    def acting(self: Shadow, /, *arguments: P.args, **named: P.kwargs) -> None:
        if self.challenger.dropped:
            return
        self.lap("step")
        try:
            act(self, *arguments, **named)
        except Exception as fault:
            self.challenger.drop(fault)
        self.lap("shadow_step")

    return acting


class Shadow:
    """States of one partition's shoppers, by the slots of `rows`.

    In a batch of N events: `begin`, then `steps`, `rebuild` and `forget` as the champion does the same, then `end`. trunk
    f4 (N, T) then holds a row for each event that was stepped.
    """

    def __init__(self, challenger: Challenger, rows: Rows, spec: FeatureSpec) -> None:
        """spec: the champion's. Raises what the engine raises when there is no room for the states."""
        self.challenger, self._rows = challenger, rows
        self._engine, self._spec = challenger.model.engine, challenger.model.card.features
        self.beside(spec)
        self._hidden = carried(self._engine, rows.size)
        self._applied = np.full(rows.size, NOTHING, np.int64)
        self.trunk = np.empty((0, self._engine.trunk_size), np.float32)
        self.lap: Callable[[str], None] = lambda stage: None

    def beside(self, spec: FeatureSpec) -> None:
        """The champion's spec from now on."""
        self._shares_features = self._spec == spec

    @_apart
    def begin(self, slots: Slots, events: int) -> None:
        """Before a batch of N events of the shoppers at slots, each once: their states as their rows are now."""
        self.trunk = np.zeros((events, self._engine.trunk_size), np.float32)
        meta = self._rows.meta
        stale = slots[self._applied[slots] != meta["applied"][slots]]
        self._applied[slots] = NOTHING  # until the batch is through: it may raise and be undone
        filled = meta["length"][stale] > 0
        if len(stale):
            self._hidden.clear(stale[~filled])
            self._rebuilt(stale[filled])

    @_apart
    def steps(
        self, at: Array, events: Array, context: Array, features: Features, slots: Slots, sizes: list[int]
    ) -> None:
        """Events (M,) in rounds, as `Carried.steps` wants them; at: their places in the batch; context: before each.

        features: as the champion's spec makes them.
        """
        if not self._shares_features:
            features = featurize(events, context, self._spec)
        trunk, good = self._hidden.steps(features.ids, features.dense, slots, sizes)
        _check(good, self._engine.release_id)
        self.trunk[at] = trunk

    @_apart
    def rebuild(self, at: Array, slots: Slots) -> None:
        """A late event each, at these places in the batch, went into the rings at slots."""
        self.trunk[at] = self._rebuilt(slots)

    @_apart
    def forget(self, slots: Slots) -> None:
        """Their shoppers' events were erased."""
        self._hidden.clear(slots)

    @_apart
    def end(self, slots: Slots) -> None:
        """The batch is through; slots as in `begin`."""
        self._applied[slots] = self._rows.meta["applied"][slots]

    def _rebuilt(self, slots: Slots) -> Array:
        """Trunk (S, T) after the newest event of each ring, none of them empty."""
        trunk = np.empty((len(slots), self._engine.trunk_size), np.float32)
        for part in in_chunks(len(slots), REBUILT_AT_ONCE):
            some = slots[part]
            if not len(some):
                continue
            whose, events, lengths, base = self._rows.held(some)
            context = context_within(whose, events, base, self._spec)
            features = featurize(events, context, self._spec)
            trunk[part], hidden = windows(self._engine, features.ids, features.dense, lengths)
            self._hidden.write(some, hidden)
        _check(finite(trunk), self._engine.release_id)
        return trunk


def _check(good: Array, release: str) -> None:
    if not good.all():
        raise NotFinite(f"{release} gives no finite numbers for {int((~good).sum())} of {len(good)} events")
