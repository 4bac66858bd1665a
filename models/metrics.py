"""How good predictions were: ranking, calibration and hits. Evaluation uses these for the model and for its baseline."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

Array = npt.NDArray[Any]

BINS = 10


@dataclass(frozen=True)
class Bin:
    """Rows whose score lies in [low, high): how many, the mean score, and the share that happened."""

    low: float
    high: float
    rows: int
    predicted: float
    observed: float


@dataclass(frozen=True)
class Binary:
    """Quality of probabilities. auc and average_precision are None where only one of the two outcomes occurs."""

    rows: int
    base_rate: float
    auc: float | None
    average_precision: float | None
    brier: float
    log_loss: float
    calibration: tuple[Bin, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Hits:
    """any: share of rows where at least one of the k named came true; share: of all that were named, what came true."""

    rows: int
    k: int
    any: float
    share: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def binary(labels: Array, scores: Array) -> Binary:
    """Metrics of probabilities (N,) against outcomes (N,) of 0/1. Raises ValueError on no rows or bad scores."""
    labels, scores = np.asarray(labels, bool), np.asarray(scores, np.float64)
    if not len(labels) or len(labels) != len(scores):
        raise ValueError(
            f"metrics: {len(labels)} labels and {len(scores)} scores; want as many, at least one"
        )
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("metrics: scores must be probabilities within [0, 1]")
    both = bool(labels.any() and not labels.all())
    return Binary(
        rows=len(labels),
        base_rate=float(labels.mean()),
        auc=float(roc_auc_score(labels, scores)) if both else None,
        average_precision=float(average_precision_score(labels, scores)) if both else None,
        brier=float(brier_score_loss(labels, scores)),
        log_loss=float(log_loss(labels, scores, labels=[False, True])),
        calibration=calibration(labels, scores),
    )


def calibration(labels: Array, scores: Array) -> tuple[Bin, ...]:
    """BINS bins of equal width over [0, 1]; the empty ones are left out."""
    place = np.minimum((np.asarray(scores) * BINS).astype(np.int64), BINS - 1)
    rows = np.bincount(place, minlength=BINS)
    predicted = np.bincount(place, weights=scores, minlength=BINS)
    observed = np.bincount(place, weights=labels, minlength=BINS)
    return tuple(
        Bin(
            b / BINS,
            (b + 1) / BINS,
            int(rows[b]),
            float(predicted[b] / rows[b]),
            float(observed[b] / rows[b]),
        )
        for b in np.flatnonzero(rows).tolist()
    )


def hits(came_true: Array) -> Hits:
    """came_true: bool (N, k), whether each of the k that a row named came true. Raises ValueError on no rows."""
    if came_true.ndim != 2 or not came_true.size:
        raise ValueError(f"hits: want at least one row with at least one name, got shape {came_true.shape}")
    return Hits(
        len(came_true), came_true.shape[1], float(came_true.any(axis=1).mean()), float(came_true.mean())
    )
