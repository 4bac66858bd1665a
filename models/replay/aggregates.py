"""A shopper as a row of numbers at any moment: recency, frequency, and what the featurizer says of the latest event.

What gradient boosting learns from, and every column known at the moment: the model without a sequence that a sequence
model has to be ahead of.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from models import baseline
from models.events import DEVICES
from models.featurizer import DENSE, FeatureSpec
from models.replay.dataset import Sequences
from models.replay.history import DAY_MS
from models.replay.scoring import GROUP

Array = npt.NDArray[Any]

COLUMNS = (
    *baseline.COLUMNS,
    "log_days_since_event",
    *(f"latest_event_{name}" for name in ("type", "device", *DENSE)),
)


class Aggregates:
    """The rows of `sequences` where a moment is complete, and the index that finds a shopper's latest one."""

    def __init__(self, sequences: Sequences, spec: FeatureSpec) -> None:
        self._sequences = sequences
        times = sequences.events["time"]
        self._low = int(times.min()) - 1
        self._span = int(times.max()) - self._low + 2
        if self._span * len(sequences.users) >= 1 << 62:
            raise ValueError(f"events span {self._span} ms over {len(sequences.users)} shoppers: take fewer")
        # In the order of the log: a late event does not turn back what was known.
        known = np.maximum.accumulate(sequences.shopper * self._span + (times - self._low))
        self._rows = np.flatnonzero(np.append(known[1:] != known[:-1], True))
        self._keys = known[self._rows]
        self._dense = _dense(sequences, spec, self._rows)

    def latest(self, shopper: Array, moment: Array) -> npt.NDArray[np.int64]:
        """Row (N,) in the sequences of the shopper's latest event known at the moment (ms, N); -1 = none."""
        at = self._at(shopper, moment)
        return np.where(at >= 0, self._rows[np.maximum(at, 0)], -1)

    def table(self, shopper: Array, moment: Array) -> npt.NDArray[np.float64]:
        """COLUMNS (N, F) of shoppers (N,) at moments ms (N,); NaN where no event is known yet."""
        at = self._at(shopper, moment)
        found = np.maximum(at, 0)
        events = self._sequences.events[self._rows[found]]
        days = np.maximum(moment - events["time"], 0) / DAY_MS
        latest = np.column_stack([np.log1p(days), events["type"], events["device"], self._dense[found]])
        latest[at < 0] = np.nan
        return np.column_stack([baseline.features(self._sequences.purchases, shopper, moment), latest])

    def devices(self, shopper: Array, moment: Array) -> Array:
        """Name of the device of the latest event (N,)."""
        at = self.latest(shopper, moment)
        return np.array(DEVICES)[np.where(at >= 0, self._sequences.events["device"][np.maximum(at, 0)], 0)]

    def events_known(self, shopper: Array, moment: Array) -> npt.NDArray[np.int64]:
        """Events (N,) that the shopper had up to the moment."""
        at = self.latest(shopper, moment)
        return np.where(at >= 0, at + 1 - self._sequences.bounds[shopper], 0)

    def _at(self, shopper: Array, moment: Array) -> npt.NDArray[np.int64]:
        inside = np.clip(np.asarray(moment) - self._low, 0, self._span - 1)
        at = np.searchsorted(self._keys, np.asarray(shopper) * self._span + inside, side="right") - 1
        mine = (at >= 0) & (self._keys[np.maximum(at, 0)] // self._span == shopper)
        return np.where(mine, at, -1)


def _dense(sequences: Sequences, spec: FeatureSpec, rows: Array) -> npt.NDArray[np.float32]:
    """Dense features of these rows, some shoppers at a time."""
    found = np.empty((len(rows), len(DENSE)), np.float32)
    for first in range(0, len(sequences.users), GROUP):
        start, stop = sequences.bounds[[first, min(first + GROUP, len(sequences.users))]]
        at = slice(*np.searchsorted(rows, [start, stop]))
        found[at] = sequences.features(spec, slice(int(start), int(stop))).dense[rows[at] - start]
    return found
