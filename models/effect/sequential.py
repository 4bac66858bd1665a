"""Intervals that hold at every look at once: who looks daily, and stops when it looks good, is not misled.

A 95 % interval is right in 95 of 100 cases at one look that was planned. Looked at every day, it is wrong on some day far
more often than in 5 of 100. A confidence sequence is right on all days together, and pays with width.
"""

from __future__ import annotations

import math

from models.effect.difference import Effect
from models.evaluation.bootstrap import Range

PLANNED = 10_000  # shoppers at which the sequence is narrowest; fixed here, since it may not follow the data
LEAST = 200  # shoppers, before which the limit theorem behind it says nothing


def always(effect: Effect, shoppers: int, alpha: float = 0.05, planned: int = PLANNED) -> Range | None:
    """1 - alpha, at all looks from LEAST shoppers on; None before, or where the effect's error is not known.

    The asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit theory
    and asymptotic confidence sequences" (Annals of Statistics 2024), theorem 2.2, with error² · n as the variance of one
    shopper's influence: for n shoppers so far and rho² = (-2 log alpha + log(1 - 2 log alpha)) / planned,

        reach = error · sqrt(2 (n rho² + 1) / (n rho²) · log(sqrt(n rho² + 1) / alpha)).
    """
    if shoppers < LEAST or not effect.known:
        return None
    reach = effect.error * widening(shoppers, alpha, planned)
    return Range(effect.value - reach, effect.value + reach)


def widening(shoppers: int, alpha: float = 0.05, planned: int = PLANNED) -> float:
    """Standard errors to either side."""
    wide = -2 * math.log(alpha)
    growth = shoppers * (wide + math.log(1 + wide)) / planned
    return math.sqrt(2 * (growth + 1) / growth * math.log(math.sqrt(growth + 1) / alpha))
