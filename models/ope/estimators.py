"""Values of a target policy from logged rounds (Dudík, Langford & Li, "Doubly robust policy evaluation and learning", ICML
2011; Swaminathan & Joachims 2015 for SNIPS; Wang, Agarwal & Dudík 2017 for Switch-DR).

w: target's chance of what was done over the logged one. q (N, A): rewards that a model expects, of each round from rounds
other than its own (rewards.py). Every estimate is the mean of one number per round, its `terms`: their spread gives the
95 % interval, and the difference of two policies on one log is that of their terms, paired.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from models.families.table import Array, Doubles
from models.ope.log import LEAST_ESS, Log, Overlap, checked, overlap, require, taken

Z = 1.959964  # two-sided 95 % of the normal law


@dataclass(frozen=True)
class Estimate:
    """value per round with its 95 % interval; the overlap that it rests on."""

    value: float
    low: float
    high: float
    error: float  # standard
    overlap: Overlap
    terms: Doubles = field(repr=False)  # (N,), of mean `value`

    def minus(self, other: Estimate) -> Estimate:
        """The difference, paired. Raises ValueError when the other comes from another number of rounds."""
        if len(self.terms) != len(other.terms):
            raise ValueError(
                f"{len(self.terms)} rounds against {len(other.terms)}: estimate both policies on the same log"
            )
        worse = min(self.overlap, other.overlap, key=lambda one: one.ess)
        return estimate(self.terms - other.terms, worse)


def estimate(terms: Doubles, seen: Overlap, value: float | None = None) -> Estimate:
    """From its terms; `value` where the estimate is not their mean to the last bit."""
    mean = float(terms.mean()) if value is None else value
    error = float(terms.std(ddof=1) / np.sqrt(len(terms))) if len(terms) > 1 else np.inf
    return Estimate(mean, mean - Z * error, mean + Z * error, error, seen, terms)


def ips(log: Log, target: Array, clip: float = np.inf, least_ess: float = LEAST_ESS) -> Estimate:
    """Mean of min(w, clip) · reward; clipping takes variance and brings bias. Raises TooLittleOverlap."""
    if not clip > 0:
        raise ValueError(f"clip {clip:g}: want a largest weight above 0")
    weights = np.minimum(log.weights(target), clip)
    return estimate(weights * log.rewards, _required(log.weights(target), least_ess))


def snips(log: Log, target: Array, least_ess: float = LEAST_ESS) -> Estimate:
    """Σ w · reward / Σ w, its interval by the delta method. Raises TooLittleOverlap."""
    weights = log.weights(target)
    seen = _required(weights, least_ess)
    value = float(weights @ log.rewards / weights.sum()) if weights.any() else np.nan
    terms = value + weights * (log.rewards - value) / weights.mean()
    return estimate(terms, seen, value)


def dm(log: Log, target: Array, q: Array) -> Estimate:
    """Direct method: what the model expects of the target. The interval knows nothing of the model's bias."""
    policy, expected = checked(target, len(log), log.count), _expected(log, q)
    return estimate((policy * expected).sum(axis=1), overlap(log.weights(target)))


def dr(log: Log, target: Array, q: Array, least_ess: float = LEAST_ESS) -> Estimate:
    """Doubly robust: the direct method, and w times what it was wrong by. Raises TooLittleOverlap."""
    return switch_dr(log, target, q, np.inf, least_ess)


def switch_dr(log: Log, target: Array, q: Array, threshold: float, least_ess: float = LEAST_ESS) -> Estimate:
    """As `dr`, but without correction of rounds whose w is above `threshold`: less variance, more trust in the model.

    Raises TooLittleOverlap.
    """
    if not threshold >= 0:
        raise ValueError(f"threshold {threshold:g}: want a weight of 0 or more")
    weights = log.weights(target)
    seen, expected = _required(weights, least_ess), _expected(log, q)
    corrected = np.where(weights <= threshold, weights, 0.0) * (log.rewards - taken(expected, log.actions))
    return estimate((np.asarray(target) * expected).sum(axis=1) + corrected, seen)


def _required(weights: Doubles, least: float) -> Overlap:
    found = overlap(weights)
    require(found, least)
    return found


def _expected(log: Log, q: Array) -> Doubles:
    found = np.asarray(q, np.float64)
    if found.shape != (len(log), log.count) or not np.isfinite(found).all():
        raise ValueError(
            f"q of shape {found.shape}, finite: {np.isfinite(found).all()}; want an expected reward of each of "
            f"{log.count} actions in {len(log)} rounds"
        )
    return found
