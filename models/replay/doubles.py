"""Which events a live row would have in it: not those whose id is still in its ring, not those too late for it, and
nothing that its shopper had erased.
"""

from collections import Counter, deque
from typing import Any

import numpy as np
import numpy.typing as npt

from models.events import TYPE_CODE

Array = npt.NDArray[Any]
ERASURE = TYPE_CODE["erasure"]


def not_erased(shopper: Array, types: Array, dropped: Counter[str]) -> npt.NDArray[np.int64]:
    """Positions of the events after their shopper's last erasure; shopper (N,) grouped, in the order of the log."""
    erasures = np.flatnonzero(types == ERASURE)
    if not len(erasures):
        return np.arange(len(shopper))
    last = dict(zip(shopper[erasures].tolist(), erasures.tolist(), strict=True))
    keep = np.ones(len(shopper), bool)
    for one, at in last.items():
        keep[np.searchsorted(shopper, one) : at + 1] = False
    dropped["erased"] += int((~keep).sum())
    return np.flatnonzero(keep)


def live_rows(
    shopper: Array, ids: Array, times: Array, ring: int, dropped: Counter[str]
) -> npt.NDArray[np.int64]:
    """Positions of the events (N,) that count; shopper (N,) grouped, ids u8, times ms, in the order of the log.

    A shopper with a repeated id or a late event is gone through event by event, as the live path does; the others, which
    are nearly all, are taken whole.
    """
    if not len(shopper):
        return np.empty(0, np.int64)
    odd = _odd_shoppers(shopper, ids, times)
    keep = np.ones(len(shopper), bool)
    for one in odd.tolist():
        first, stop = np.searchsorted(shopper, [one, one + 1])
        keep[first:stop] = _keep(ids[first:stop].tolist(), times[first:stop].tolist(), ring, dropped)
    return np.flatnonzero(keep)


def _odd_shoppers(shopper: Array, ids: Array, times: Array) -> Array:
    """Shoppers that have an id twice, or an event older than one before it."""
    order = np.lexsort((ids, shopper))
    twice = (shopper[order][1:] == shopper[order][:-1]) & (ids[order][1:] == ids[order][:-1])
    late = (shopper[1:] == shopper[:-1]) & (times[1:] < times[:-1])
    return np.union1d(shopper[order][1:][twice], shopper[1:][late])


def _keep(ids: list[int], times: list[int], size: int, dropped: Counter[str]) -> list[bool]:
    """One shopper's events: the ring holds the newest `size` by time, as in streams' rows."""
    ring: deque[tuple[int, int]] = deque()  # (time, id), in time order
    keep = []
    for code, time in zip(ids, times, strict=True):
        if any(code == known for _, known in ring):
            dropped["double"] += 1
            keep.append(False)
            continue
        if len(ring) == size and time < ring[0][0]:
            dropped["too_late"] += 1
            keep.append(False)
            continue
        place = len(ring)
        while place and ring[place - 1][0] > time:
            place -= 1
        ring.insert(place, (time, code))
        if len(ring) > size:
            ring.popleft()
        keep.append(True)
    return keep
