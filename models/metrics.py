"""How good predictions were: ranking, calibration, decisions at a threshold, amounts, named categories.

Evaluation uses these for the model and for everything it stands beside. Intervals around them: models/evaluation.
"""

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
    """Quality of probabilities. auc and average_precision are None where only one of the two outcomes occurs.

    ece: expected calibration error, the mean over rows of |predicted - observed| of the row's bin (Guo et al., "On
    calibration of modern neural networks", ICML 2017), over BINS bins of equal width.
    """

    rows: int
    base_rate: float
    auc: float | None
    average_precision: float | None
    brier: float
    log_loss: float
    ece: float
    calibration: tuple[Bin, ...]

    def to_json(self, bins: bool = True) -> dict[str, Any]:
        """Plain values; without the bins a fifth as long."""
        found = asdict(self)
        return found if bins else {name: value for name, value in found.items() if name != "calibration"}


@dataclass(frozen=True)
class Decided:
    """What saying yes or no came to. precision and f1 are None where nobody was said yes to, recall where nothing came."""

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int
    accuracy: float
    precision: float | None
    recall: float | None
    f1: float | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Amounts:
    """Errors of predicted amounts, in their unit (mse: squared)."""

    rows: int
    mean: float  # of what came
    mse: float
    mae: float
    rmse: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Hits:
    """Of the k named, best first, held against all that came, means over rows.

    any: whether one came true; share: of the named, how many came true; recall: of what came, how much was named (R@k);
    mrr: 1 / rank of the first that came true, else 0 (MRR@k); ndcg: discounted gain over that of the best order (NDCG@k).
    """

    rows: int
    k: int
    any: float
    share: float
    recall: float
    mrr: float
    ndcg: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Types:
    """Quality of shares over T types. auc, average_precision: macro, each type against the others, over the types of which
    some rows are and some are not; None where there is no such type. confusion: rows by what came, then by what was said.
    """

    rows: int
    accuracy: float
    log_loss: float
    auc: float | None
    average_precision: float | None
    confusion: tuple[tuple[int, ...], ...]

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
    bins = calibration(labels, scores)
    return Binary(
        rows=len(labels),
        base_rate=float(labels.mean()),
        auc=float(roc_auc_score(labels, scores)) if both else None,
        average_precision=float(average_precision_score(labels, scores)) if both else None,
        brier=float(brier_score_loss(labels, scores)),
        log_loss=float(log_loss(labels, scores, labels=[False, True])),
        ece=sum(part.rows * abs(part.predicted - part.observed) for part in bins) / len(labels),
        calibration=bins,
    )


CERTAIN = 1e-12  # a type's share is cut here, or one sure mistake would be infinite


def type_rows(came: Array, scores: Array) -> dict[str, npt.NDArray[np.float64]]:
    """Accuracy and log loss of each row (N,), of shares (N, T) against types int (N,). Raises ValueError on no rows."""
    if not len(came) or scores.ndim != 2 or len(came) != len(scores):
        raise ValueError(f"types: {len(came)} came, scores {scores.shape}; want as many rows, at least one")
    share = scores[np.arange(len(came)), came]
    return {
        "accuracy": (scores.argmax(axis=1) == came).astype(np.float64),
        "log_loss": -np.log(np.maximum(share, CERTAIN)),
    }


def types(came: Array, scores: Array) -> Types:
    """Metrics of shares (N, T) against the types int (N,) that came. Raises ValueError on no rows."""
    means = {name: float(values.mean()) for name, values in type_rows(came, scores).items()}
    count = scores.shape[1]
    occur = [kind for kind in range(count) if 0 < (came == kind).sum() < len(came)]
    aucs = [float(roc_auc_score(came == kind, scores[:, kind])) for kind in occur]
    precisions = [float(average_precision_score(came == kind, scores[:, kind])) for kind in occur]
    cells = np.bincount(came * count + scores.argmax(axis=1), minlength=count**2).reshape(count, count)
    return Types(
        len(came),
        means["accuracy"],
        means["log_loss"],
        float(np.mean(aucs)) if aucs else None,
        float(np.mean(precisions)) if precisions else None,
        tuple(tuple(row) for row in cells.tolist()),
    )


def calibration(labels: Array, scores: Array) -> tuple[Bin, ...]:
    """BINS bins of equal width over [0, 1]; the empty ones are left out."""
    place = bin_of(scores)
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


def bin_of(scores: Array) -> npt.NDArray[np.int64]:
    """The calibration bin (N,) of probabilities (N,)."""
    return np.minimum((np.asarray(scores, np.float64) * BINS).astype(np.int64), BINS - 1)


def decided(labels: Array, said: Array) -> Decided:
    """Outcomes (N,) against what was said (N,), both bool. Raises ValueError on no rows."""
    labels, said = np.asarray(labels, bool), np.asarray(said, bool)
    if not len(labels) or len(labels) != len(said):
        raise ValueError(
            f"decided: {len(labels)} outcomes and {len(said)} answers; want as many, at least one"
        )
    tp, fp = int((labels & said).sum()), int((~labels & said).sum())
    fn, tn = int((labels & ~said).sum()), int((~labels & ~said).sum())
    return Decided(
        tp,
        fp,
        fn,
        tn,
        (tp + tn) / len(labels),
        tp / (tp + fp) if tp + fp else None,
        tp / (tp + fn) if tp + fn else None,
        2 * tp / (2 * tp + fp + fn) if tp + fp and tp + fn else None,
    )


def amounts(came: Array, predicted: Array) -> Amounts:
    """Errors of predicted amounts (N,) against what came (N,). Raises ValueError on no rows or on what is not finite."""
    came, predicted = np.asarray(came, np.float64), np.asarray(predicted, np.float64)
    if not len(came) or len(came) != len(predicted):
        raise ValueError(f"amounts: {len(came)} came, {len(predicted)} predicted; want as many, at least one")
    error = predicted - came
    if not np.isfinite(error).all():
        raise ValueError("amounts: a value is not finite; leave rows without a prediction or an outcome out")
    mse = float((error**2).mean())
    return Amounts(len(came), float(came.mean()), mse, float(np.abs(error).mean()), float(np.sqrt(mse)))


def hit_rows(came_true: Array, relevant: Array) -> dict[str, npt.NDArray[np.float64]]:
    """What `Hits` is the mean of, by name, each (N,). Raises ValueError on no rows, or where nothing came."""
    if came_true.ndim != 2 or not came_true.size or len(relevant) != len(came_true):
        raise ValueError(f"hits: want at least one row with at least one name, got shape {came_true.shape}")
    if (relevant < np.maximum(came_true.sum(1), 1)).any():
        raise ValueError("hits: a row has more hits than came, or nothing came; leave such rows out")
    discount = 1 / np.log2(np.arange(came_true.shape[1]) + 2)
    best = np.cumsum(discount)[np.minimum(relevant, came_true.shape[1]) - 1]
    found = came_true.any(axis=1)
    return {
        "any": found.astype(np.float64),
        "share": came_true.mean(axis=1),
        "recall": came_true.sum(axis=1) / relevant,
        "mrr": found / (came_true.argmax(axis=1) + 1),
        "ndcg": (came_true * discount).sum(axis=1) / best,
    }


def hits(came_true: Array, relevant: Array) -> Hits:
    """came_true: bool (N, k), whether each of the k that a row named came true, best first; relevant: (N,), how many came."""
    rows = hit_rows(came_true, relevant)
    n, k = came_true.shape
    means = {name: float(values.mean()) for name, values in rows.items()}
    return Hits(n, k, means["any"], means["share"], means["recall"], means["mrr"], means["ndcg"])


def roc_auc(labels: Array, scores: Array) -> float:
    """Area under the ROC curve of scores (N,), any scale, for labels (N,) of which both occur."""
    return float(roc_auc_score(labels, scores))
