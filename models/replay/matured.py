"""Predictions of one or more releases beside what then happened, on rows whose horizon is over and that all of them answered.

The rows are those of an evaluation (questions.py): a basket each for buy_<d>d, a household-day each for lapse_<d>d.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models import survival
from models.replay import questions
from models.replay.dataset import Sequences
from models.replay.history import DAY_MS
from models.replay.predicted import Predicted
from models.replay.source import Interval
from models.replay.splits import Part
from models.survival import TASKS

Array = npt.NDArray[Any]


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
    part = Part(over)
    asked = (
        questions.buys(sequences, part, days) if kind == "buy" else questions.lapses(sequences, part, days)
    )
    known, scores = np.ones(len(asked.came), bool), np.empty((len(releases), len(asked.came)))
    for number, predicted in enumerate(releases):
        at = predicted.latest(asked.shopper, asked.moment, exactly=kind == "buy")
        known &= at >= 0
        scores[number] = _scores(predicted, np.maximum(at, 0), asked.moment, kind, days)
    shopper, moment, came = (column[known] for column in asked)
    return Matured(task, shopper, moment, came, np.clip(scores[:, known], 0.0, 1.0))


def _scores(predicted: Predicted, at: Array, moment: Array, kind: str, days: int) -> Array:
    """Of buying, at the moment of the prediction; of silence, from the moment on, to which the prediction is aged."""
    if not len(predicted):
        return np.zeros(len(at))
    curve = predicted.survival[at]
    if kind == "buy":
        return 1 - survival.at_days(curve, np.full(len(at), days))
    elapsed = np.maximum((moment - predicted.time[at]) / DAY_MS, 0)
    return survival.conditional(curve, elapsed, np.full(len(at), days))
