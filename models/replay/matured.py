"""Predictions of one or more releases beside what then happened, on rows whose horizon is over and that all of them answered.

The rows are those of an evaluation (evaluate.py): a basket each for buy_<d>d, a household-day each for lapse_<d>d.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models import survival
from models.replay.dataset import Sequences
from models.replay.history import DAY_MS, Purchases
from models.replay.predicted import Predicted
from models.replay.source import Interval
from models.survival import TASKS

Array = npt.NDArray[Any]

GRID_DAYS = 7  # household-days: every 7th day at 00:00 UTC


@dataclass(frozen=True)
class Matured:
    """N rows of a task, answered by P releases.

    shopper int (N,), position in the sequences' users; moment ms (N,); came bool (N,); scores float64 (P, N),
    probabilities.
    """

    task: str
    shopper: Array
    moment: Array
    came: npt.NDArray[np.bool_]
    scores: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.came)


def matured(sequences: Sequences, releases: Sequence[Predicted], task: str, over: Interval) -> Matured:
    """Rows with moments within `over` whose horizon ended within it; what happened is known up to its end.

    sequences: all events within `over`. Raises ValueError for a task that is none of TASKS.
    """
    if task not in TASKS:
        raise ValueError(f"task {task!r}: want one of {', '.join(TASKS)}")
    kind, days = task[: task.index("_")], int(task[task.index("_") + 1 : -1])
    purchases, stop = sequences.purchases, over.stop - days * DAY_MS
    shopper, moment = (
        _baskets(purchases, over.start, stop) if kind == "buy" else _grid(purchases, over.start, stop)
    )
    known, scores = np.ones(len(shopper), bool), np.empty((len(releases), len(shopper)))
    for number, predicted in enumerate(releases):
        at = predicted.latest(shopper, moment, exactly=kind == "buy")
        known &= at >= 0
        scores[number] = _scores(predicted, np.maximum(at, 0), moment, kind, days)
    shopper, moment, scores = shopper[known], moment[known], scores[:, known]
    bought = purchases.next_time(shopper, moment) <= moment + days * DAY_MS
    return Matured(task, shopper, moment, bought ^ (kind == "lapse"), np.clip(scores, 0.0, 1.0))


def _scores(predicted: Predicted, at: Array, moment: Array, kind: str, days: int) -> Array:
    """Of buying, at the moment of the prediction; of silence, from the moment on, to which the prediction is aged."""
    if not len(predicted):
        return np.zeros(len(at))
    curve = predicted.survival[at]
    if kind == "buy":
        return 1 - survival.at_days(curve, np.full(len(at), days))
    elapsed = np.maximum((moment - predicted.time[at]) / DAY_MS, 0)
    return survival.conditional(curve, elapsed, np.full(len(at), days))


def _baskets(purchases: Purchases, start: int, stop: int) -> tuple[Array, Array]:
    rows = (purchases.time >= start) & (purchases.time < stop)
    return purchases.shopper[rows], purchases.time[rows]


def _grid(purchases: Purchases, start: int, stop: int) -> tuple[Array, Array]:
    """Household-days at which the shopper has bought before."""
    days = np.arange(-(-start // DAY_MS) * DAY_MS, stop + 1, GRID_DAYS * DAY_MS)
    shopper, moment = (
        np.repeat(np.arange(purchases.n_shoppers), len(days)),
        np.tile(days, purchases.n_shoppers),
    )
    bought = purchases.count(shopper, moment) > 0
    return shopper[bought], moment[bought]
