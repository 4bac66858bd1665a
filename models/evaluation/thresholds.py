"""The threshold from which on a score says yes. It is chosen before the scored interval, and every report states it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Threshold:
    """score >= value says yes. rule: how the value was come by, for the reader."""

    value: float
    rule: str


def best_f1(labels: Array, scores: Array) -> float:
    """The score (of those that occur) whose use as threshold gives the highest F1 on rows (N,); of equals the highest.

    Raises ValueError without a row that came true.
    """
    labels = np.asarray(labels, bool)
    if not labels.any():
        raise ValueError("threshold: nothing came true among the rows, so that no threshold has an F1")
    order = np.argsort(-np.asarray(scores), kind="stable")
    ranked = np.asarray(scores, np.float64)[order]
    ends = np.flatnonzero(np.append(np.diff(ranked) != 0, True))
    true = np.cumsum(labels[order])[ends]
    return float(ranked[ends][np.argmax(2 * true / (ends + 1 + labels.sum()))])


def choose(labels: Array, scores: Array, given: float | None, where: str) -> Threshold:
    """The given threshold, else the best F1 on rows (N,) that lie before what is scored; `where` says which these are."""
    if given is not None:
        return Threshold(given, "given")
    if not np.any(labels):
        return Threshold(0.5, f"one half: no outcome to choose by in {where}")
    return Threshold(best_f1(labels, scores), f"best F1 in {where}")
