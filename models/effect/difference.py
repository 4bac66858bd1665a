"""Differences between treated and control shoppers, with standard error and 95 % interval.

A shopper is one row, drawn and assigned independently of the others. Intervals are normal ones: the difference of two
means of some hundred shoppers is near enough to that, whatever a shopper's revenue looks like.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from models.evaluation.bootstrap import Range
from models.families.table import Array, Doubles

NORMAL_95 = 1.959963984540054  # its 97.5 % quantile
LEAST = 30  # shoppers of an arm, below which no interval is told


@dataclass(frozen=True)
class Effect:
    """treated less control, in the figure's unit; error: standard error, 0 where nothing varies, inf where it is not known."""

    treated: float
    control: float
    value: float
    error: float

    @property
    def known(self) -> bool:
        """Whether an interval can be told."""
        return 0 < self.error < math.inf

    @property
    def interval(self) -> Range | None:
        """95 %, at one look that was planned before."""
        reach = NORMAL_95 * self.error
        return Range(self.value - reach, self.value + reach) if self.known else None

    @property
    def p_value(self) -> float | None:
        """Two-sided, of no difference at all."""
        return math.erfc(abs(self.value) / self.error / math.sqrt(2)) if self.known else None


def difference(outcomes: Array, treated: Array) -> Effect:
    """Of means. outcomes (N,), treated bool (N,); Welch's standard error. Raises ValueError for an arm without anybody."""
    on, off = _arms(outcomes, treated)
    error = math.inf
    if min(len(on), len(off)) >= LEAST:
        error = math.sqrt(on.var(ddof=1) / len(on) + off.var(ddof=1) / len(off))
    return Effect(float(on.mean()), float(off.mean()), float(on.mean() - off.mean()), error)


def ratio(above: Array, below: Array, treated: Array) -> Effect:
    """Of ratios of sums, such as revenue per order: above (N,) over below (N,), both by shopper.

    The standard error is the delta method's (Deng, Knoblich and Lu, "Applying the delta method in metric analytics", KDD
    2018): orders of a shopper are not independent, shoppers are. Not known where an arm's `below` adds up to nothing.
    """
    on, off = zip(_arms(above, treated), _arms(below, treated), strict=True)
    (one, spread), (other, noise) = _ratio(*on), _ratio(*off)
    return Effect(one, other, one - other, math.sqrt(spread + noise))


def _ratio(above: Doubles, below: Doubles) -> tuple[float, float]:
    """The ratio of sums, and the variance of its estimate."""
    if below.sum() == 0 or len(above) < LEAST:
        return (float(above.sum() / below.sum()) if below.sum() else 0.0), math.inf
    found = above.sum() / below.sum()
    linear = (above - found * below) / below.mean()
    return float(found), float(linear.var(ddof=1) / len(above))


def adjusted(outcomes: Array, treated: Array, before: Array) -> Effect:
    """Of means, less what the shoppers' past explains. before (N, F): what each did before being assigned.

    CUPED (Deng, Xu, Kohavi and Walker, "Improving the sensitivity of online controlled experiments by utilizing
    pre-experiment data", WSDM 2013): the outcome less its regression on `before`, whose slopes are those within the arms.
    As the past cannot depend on the assignment, the difference stays what it was on average, and varies less.
    """
    values, arm = np.asarray(outcomes, np.float64), np.asarray(treated, bool)
    past = np.asarray(before, np.float64)
    inner, own = past.copy(), values.copy()
    for group in (arm, ~arm):
        if group.any():
            inner[group] -= past[group].mean(axis=0)
            own[group] -= values[group].mean()
    slopes = np.linalg.lstsq(inner, own, rcond=None)[0]
    return difference(values - (past - past.mean(axis=0)) @ slopes, arm)


def variance_cut(plain: Effect, sharper: Effect) -> float | None:
    """Share of the variance of `plain` that `sharper` does without: .2 is worth a quarter more shoppers."""
    if not (plain.known and sharper.known):
        return None
    return 1.0 - (sharper.error / plain.error) ** 2


def _arms(outcomes: Array, treated: Array) -> tuple[Doubles, Doubles]:
    values, arm = np.asarray(outcomes, np.float64), np.asarray(treated, bool)
    if values.shape != arm.shape or values.ndim != 1:
        raise ValueError(
            f"outcomes of shape {values.shape}, treated of {arm.shape}: want a number a shopper of each"
        )
    if not np.isfinite(values).all():
        raise ValueError(
            f"outcomes: {int((~np.isfinite(values)).sum())} are not finite; leave out what is not known"
        )
    if arm.all() or not arm.any():
        raise ValueError(
            f"treated: all {len(arm)} shoppers are of one arm, so there is nothing to compare with"
        )
    return values[arm], values[~arm]
