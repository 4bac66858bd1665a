"""Predictions whose horizon has ended against what happened: expected, observed, and an interval for the difference.

A shopper's outcomes depend on each other, so that rows are no independent draws: the interval's variance is summed over
shoppers (cluster-robust: Liang & Zeger, Biometrika 73, 1986), not over rows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.replay.history import DAY_MS, Purchases

Array = npt.NDArray[Any]

FAR = 0.1  # share of what was expected
_Z95 = 1.96


@dataclass(frozen=True)
class Matured:
    """One task. rows: whose horizon ended. expected, observed: mean score, and share that came true.

    low, high: 95 % interval of observed - expected. verdict: steady; look: chance does not explain the difference;
    drift: nor that it is above FAR of what was expected.
    """

    task: str
    rows: int
    expected: float
    observed: float
    low: float
    high: float
    verdict: str


def outcomes(task: str, purchases: Purchases, shopper: Array, time: Array, stop: int) -> tuple[Array, Array]:
    """What happened (N,) 0/1 for buy_<d>d or lapse_<d>d after `time` (N,) ms, and whether that is decided by `stop` (ms)."""
    match = re.fullmatch(r"(buy|lapse)_(\d+)d", task)
    if not match:
        raise ValueError(f"task {task!r}: want buy_<d>d or lapse_<d>d")
    horizon = int(match[2]) * DAY_MS
    bought = purchases.next_time(shopper, time) <= time + horizon
    return (bought if match[1] == "buy" else ~bought).astype(np.float64), time + horizon < stop


def matured(task: str, scores: Array, happened: Array, shopper: Array) -> Matured | None:
    """Of rows (N,) whose horizon ended; None without any."""
    if not len(scores):
        return None
    apart = happened - scores
    _, at = np.unique(shopper, return_inverse=True)
    error = float(np.sqrt((np.bincount(at, weights=apart) ** 2).sum())) / len(apart)
    gap, expected = float(apart.mean()), float(scores.mean())
    low, high = gap - _Z95 * error, gap + _Z95 * error
    least = max(low, -high, 0.0)  # difference that chance leaves
    verdict = "steady" if not least else "drift" if least > FAR * expected else "look"
    return Matured(task, len(scores), expected, float(happened.mean()), low, high, verdict)
