"""Two-sample Kolmogorov–Smirnov test: the largest distance between two distribution functions, and how likely it is by chance.

It takes independent draws, and a shopper's events are not: callers give one row per shopper.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_TERMS = np.arange(1, 101)


class KS(NamedTuple):
    """distance: in [0, 1]. p: chance of at least that distance when both samples have the same distribution."""

    distance: float
    p: float


def compare(first: Array, second: Array, first_rows: int | None = None) -> KS:
    """Of samples (N,) and (M,). first_rows: how many rows `first` stands for, when it is evenly spaced order statistics."""
    first, second = np.sort(first), np.sort(second)
    at = np.concatenate([first, second])
    functions = [np.searchsorted(one, at, side="right") / len(one) for one in (first, second)]
    distance = float(np.abs(functions[0] - functions[1]).max())
    return KS(distance, chance(distance, first_rows or len(first), len(second)))


def chance(distance: float, n: int, m: int) -> float:
    """Asymptotic p with Stephens' correction for small samples (J. Royal Statistical Society B 32, 1970)."""
    size = np.sqrt(n * m / (n + m))
    scaled = (size + 0.12 + 0.11 / size) * distance
    if scaled < 0.2:  # the series converges slowly there, to 1
        return 1.0
    signs = np.where(_TERMS % 2, 1.0, -1.0)
    return float(np.clip(2 * (signs * np.exp(-2 * (_TERMS * scaled) ** 2)).sum(), 0.0, 1.0))
