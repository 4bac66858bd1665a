"""How good a ranking by expected effect is, on the rows of a trial that it has not seen.

All of them take effects (N,), treated (N,) and outcomes (N,), and do not depend on the order of the rows: rows of equal
effect are taken together. The arms are as randomised, all rows with the same chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.families.table import Array, Doubles
from models.uplift.trial import checked_arms, checked_outcomes


def qini_curve(effects: Array, treated: Array, outcomes: Array) -> tuple[Doubles, Doubles]:
    """Rows taken (k,), from 0 to N, best effect first; and what the treated among them gained over as many controls (k,).

    gain = Σ outcomes of treated - Σ outcomes of controls · treated / controls (Radcliffe 2007).
    """
    score, arm, came = _checked(effects, treated, outcomes)
    order = np.argsort(-score, kind="stable")
    arm, came, score = arm[order], came[order], score[order]
    ends = np.flatnonzero(np.append(np.diff(score) != 0, True))
    on, off = (np.cumsum(which)[ends] for which in (arm, ~arm))
    won, lost = (np.cumsum(np.where(which, came, 0.0))[ends] for which in (arm, ~arm))
    gain = won - lost * on / np.maximum(off, 1)
    return np.append(0.0, ends + 1.0), np.append(0.0, gain)


def qini(effects: Array, treated: Array, outcomes: Array) -> float:
    """Area of the curve over the straight line to its end, as a share of that of the best order there is.

    The best order takes treated with an outcome first and controls with one last (for amounts: by Y and by -Y).
    0 is chance, 1 the best; below 0, worse than chance. As scikit-uplift's qini_auc_score. Raises ValueError when no outcome
    differs, so that there is no better order.
    """
    _, arm, came = _checked(effects, treated, outcomes)
    if came.min() == came.max():
        raise ValueError(f"outcomes: all {len(came)} are {came[0]:g}, so no order is better than another")
    mine, best = (
        _over_the_line(*qini_curve(score, arm, came)) for score in (effects, np.where(arm, came, -came))
    )
    return mine / best


def uplift_at(effects: Array, treated: Array, outcomes: Array, share: float) -> float:
    """Mean outcome of the treated less that of controls, among the `share` of rows of the largest effect.

    Rows that share the last effect taken count with the part of them that still fits. Raises ValueError for a share that is
    not above 0 and at most 1, or when there is nobody of an arm in it.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share {share:g}: want above 0 and at most 1")
    score, arm, came = _checked(effects, treated, outcomes)
    _, place, counts = np.unique(-score, return_inverse=True, return_counts=True)
    before = np.cumsum(counts) - counts
    weight = np.clip((share * len(score) - before) / counts, 0.0, 1.0)[place]
    if not weight[arm].sum() or not weight[~arm].sum():
        raise ValueError(f"share {share:g} of {len(score)} rows holds nobody of one arm; take a larger share")
    return float(np.average(came[arm], weights=weight[arm]) - np.average(came[~arm], weights=weight[~arm]))


@dataclass(frozen=True)
class Decile:
    """Rows of neighbouring effects: what was predicted on average, what came, and its standard error."""

    rows: int
    predicted: float
    observed: float
    error: float


def calibration(effects: Array, treated: Array, outcomes: Array, parts: int = 10) -> list[Decile]:
    """Predicted and observed effect in `parts` groups of as many rows each, smallest effect first.

    Rows of one effect stand in one group, so that there may be fewer. Raises ValueError where a group lacks two of an arm.
    """
    score, arm, came = _checked(effects, treated, outcomes)
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - counts / 2
    group = np.minimum((middle * parts / len(score)).astype(int), parts - 1)[place]
    found = []
    for one in np.unique(group):
        rows = group == one
        on, off = came[rows & arm], came[rows & ~arm]
        if min(len(on), len(off)) < 2:
            raise ValueError(
                f"parts {parts}: a group has {len(on)} treated and {len(off)} controls; take fewer parts or more rows"
            )
        error = np.sqrt(on.var(ddof=1) / len(on) + off.var(ddof=1) / len(off))
        found.append(
            Decile(int(rows.sum()), float(score[rows].mean()), float(on.mean() - off.mean()), float(error))
        )
    return found


def calibration_error(deciles: list[Decile]) -> float:
    """Mean over rows of |predicted - observed| of their group; noise in what was observed is part of it."""
    rows = np.array([one.rows for one in deciles])
    apart = np.array([abs(one.predicted - one.observed) for one in deciles])
    return float(rows @ apart / rows.sum())


def _over_the_line(count: Doubles, gain: Doubles) -> float:
    return float(np.trapezoid(gain, count) - count[-1] * gain[-1] / 2)


def _checked(effects: Array, treated: Array, outcomes: Array) -> tuple[Doubles, Array, Doubles]:
    score = np.asarray(effects, np.float64)
    if score.ndim != 1 or not np.isfinite(score).all():
        raise ValueError(
            f"effects of shape {score.shape}, finite: {np.isfinite(score).all()}; want a number a row"
        )
    return score, checked_arms(treated, len(score)), checked_outcomes(outcomes, len(score))
