"""Sample ratio mismatch: are the groups as large as the shares that chance was given?

When they are not, shoppers were lost from one group and not from the other, and every difference between them is in doubt,
however small its interval (Fabijan et al., "Diagnosing sample ratio mismatch in online controlled experiments", KDD 2019).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from models.families.table import Array

ALARM = 0.001  # a p-value below it: once in a thousand reports by chance


@dataclass(frozen=True)
class Balance:
    """counts found and expected by group; p_value of the chi-square test that chance made the difference."""

    found: dict[str, int]
    expected: dict[str, float]
    p_value: float

    @property
    def alarm(self) -> bool:
        return self.p_value < ALARM


def balance(counts: dict[str, int], shares: dict[str, float]) -> Balance:
    """Groups of one draw. shares: above 0, scaled to add up to 1. Raises ValueError for a group without a share."""
    missing = [name for name in counts if not shares.get(name, 0) > 0]
    if missing:
        raise ValueError(f"shares: {', '.join(missing)} has none; give every group the share it was to get")
    total, whole = sum(counts.values()), sum(shares.values())
    expected = {name: total * share / whole for name, share in shares.items()}
    found = {name: counts.get(name, 0) for name in shares}
    apart = sum((found[name] - expected[name]) ** 2 / expected[name] for name in shares) if total else 0.0
    return Balance(found, expected, chi_square_tail(apart, len(shares) - 1))


def holdout_balance(held: Array, shares: Array) -> Balance:
    """held bool (N,): who was held out; shares (N,): with which chance each was to be. It may differ between shoppers."""
    chance = np.asarray(shares, np.float64)
    count, most, spread = int(np.sum(held)), float(chance.sum()), float((chance * (1 - chance)).sum())
    apart = (count - most) ** 2 / spread if spread else 0.0
    rows = len(chance)
    return Balance(
        {"treated": rows - count, "held out": count},
        {"treated": rows - most, "held out": most},
        chi_square_tail(apart, 1),
    )


def chi_square_tail(value: float, freedom: int) -> float:
    """P(chi-square of so many degrees of freedom > value); in closed form (Abramowitz and Stegun 26.4.4 and 26.4.5)."""
    if freedom < 1:
        return 1.0
    half, total = value / 2, 0.0
    if freedom % 2 == 0:
        term = 1.0
        for step in range(freedom // 2):
            total += term
            term *= half / (step + 1)
        return min(1.0, math.exp(-half) * total)
    term = math.sqrt(2 * value / math.pi) if value else 0.0
    for step in range((freedom - 1) // 2):
        total += term
        term *= value / (2 * step + 3)
    return min(1.0, math.erfc(math.sqrt(half)) + math.exp(-half) * total)
