"""Population stability index of a column against its reference: sum of (a - e) ln(a / e) over bins.

Bins are quantiles of the reference. Thresholds .1 (look) and .25 (drift): Siddiqi, "Credit Risk Scorecards", Wiley 2006.
Small samples reach them by chance: without any drift PSI / (1/n + 1/m) follows about chi-squared with B - 1 degrees of
freedom (Yurdakul & Naranjo, "Statistical properties of the population stability index", J. Risk Model Validation, 2020),
so that a value below that distribution's 95 % quantile says nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

LOOK, DRIFT = 0.1, 0.25
BINS = 10
_Z95 = 1.6449  # of the normal distribution
_HALF = 0.5  # added to every count, so that an empty bin has a logarithm


def edges(values: Array, bins: int = BINS) -> Array:
    """Inner edges (at most bins - 1), each one of the values (N,), at their quantiles; fewer where many are equal."""
    inner = np.unique(np.quantile(values, np.arange(1, bins) / bins, method="inverted_cdf"))
    return np.asarray(inner[inner > values.min()], values.dtype)


def counts(values: Array, inner: Array) -> npt.NDArray[np.int64]:
    """Values in each of len(inner) + 1 bins; a value on an edge belongs to the bin above it."""
    return np.bincount(np.searchsorted(inner, values, side="right"), minlength=len(inner) + 1).astype(
        np.int64
    )


def psi(reference: Array, now: Array) -> float:
    """PSI of counts (B,) against the counts (B,) of the reference; 0 when the shares are equal."""
    shares = [(np.asarray(one, float) + _HALF) / (np.sum(one) + _HALF * len(one)) for one in (reference, now)]
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def noise(bins: int, n: int, m: int) -> float:
    """What PSI exceeds in 5 % of cases without any drift, n and m independent rows. Chi-squared by Wilson & Hilferty (1931)."""
    k = bins - 1
    if k < 1 or not n or not m:
        return np.inf if not n or not m else 0.0
    quantile = k * (1 - 2 / (9 * k) + _Z95 * np.sqrt(2 / (9 * k))) ** 3
    return float(quantile * (1 / n + 1 / m))
