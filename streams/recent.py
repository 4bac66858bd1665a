"""What a shopper did lately, as of an event of a batch: the last events in the row before the batch, and those of the batch.

Only a list asks for it (models/item_head.py), so only shoppers with an event that a list may follow are kept in mind, as copies
of their rings; the batch will have moved these on. Where a batch was cut makes no difference: of all events up to and with the
one asked about, the latest `ring` count, by their time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from models.events import TYPE_CODE
from streams.compiled import CompiledPolicy
from streams.lookups import considered
from streams.rows import Rows, Slots

Array = npt.NDArray[Any]
ERASURE = TYPE_CODE["erasure"]


class Recent:
    """Made before a batch is applied; `counted` and `at` are told after it."""

    def __init__(self, rows: Rows, slots: Slots, events: Array, offsets: Array, wanted: Array) -> None:
        """The batch's events EVENT (N,) at source offsets i8 (N,) of the shoppers at slots (N,); wanted: bool (N,), after
        which it may be asked."""
        self._slots, self._events, self._ring = slots, events, rows.ring_size
        # The others are in the row already, or were erased from it.
        self._new = offsets > rows.meta["applied"][slots]
        self._kept = np.unique(slots[wanted])
        _, self._before, lengths, _ = rows.held(self._kept)
        self._stops = np.cumsum(lengths)
        self._starts = self._stops - lengths
        self.counted = np.ones(len(slots), bool)  # not doubles, nor what was in the row already
        self.at: Array = np.arange(len(slots))  # the events that are asked about, by position

    def __getitem__(self, row: int) -> Array:
        """EVENT (R,), oldest first, up to and with the event at[row], which must be a wanted one."""
        event = int(self.at[row])
        slot = self._slots[event]
        mine = np.flatnonzero((self._slots[: event + 1] == slot) & self._new[: event + 1])
        erased = np.flatnonzero(self._events["type"][mine] == ERASURE)
        kept = int(np.searchsorted(self._kept, slot))
        before = self._before[self._starts[kept] : self._stops[kept]]
        if len(erased):
            mine, before = mine[erased[-1] + 1 :], before[:0]
        found = np.concatenate([before, self._events[mine[self.counted[mine]]]])
        return found[np.argsort(found["time"], kind="stable")][-self._ring :]


def followed_by_lists(policy: CompiledPolicy) -> npt.NDArray[np.bool_]:
    """bool (256,): the event types after which a campaign of the policy orders a list of next items."""
    lists = [at for at, campaign in enumerate(policy.campaigns) if considered(campaign, policy)]
    return np.asarray(policy.types[lists].any(0))
