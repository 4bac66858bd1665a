"""What rows that learn from a table share: the metrics of one split, means over splits, predictions out of fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.metrics import accuracy_score, f1_score

from bench.models.row import Metrics
from models import metrics
from models.families import kinds

Array = npt.NDArray[Any]


class Rows(NamedTuple):
    """inputs (N, F), labels (N,), groups (N,): whose row it is."""

    inputs: Array
    labels: Array
    groups: Array


def quality(labels: Array, scores: Array, threshold: float = 0.5) -> Metrics:
    """AUC, average precision and Brier of probabilities (N,); accuracy and F1 of saying yes from `threshold` on."""
    found = metrics.binary(labels, scores)
    if found.auc is None or found.average_precision is None:
        raise ValueError(f"all {len(labels)} labels of the split are the same: no AUC; take larger splits")
    named = scores >= threshold
    return {
        "auc": found.auc,
        "ap": found.average_precision,
        "brier": found.brier,
        "accuracy": float(accuracy_score(labels, named)),
        "f1": float(f1_score(labels, named)),
    }


def over_splits(each: Sequence[Metrics]) -> Metrics:
    """The mean of every metric over splits, and beside AUC its standard deviation."""
    found = {name: float(np.mean([one[name] for one in each])) for name in each[0]}
    if len(each) > 1:
        found["auc_sd"] = float(np.std([one["auc"] for one in each], ddof=1))
    return found


def errors(counts: Array, expected: Array) -> Metrics:
    """MAE and RMSE of expected counts (N,) against what came, and how many in all were expected."""
    return {
        "mae": float(np.abs(expected - counts).mean()),
        "rmse": float(np.sqrt(((expected - counts) ** 2).mean())),
        "total": float(expected.sum()),
    }


def out_of_fold(
    given: Mapping[str, Any],
    inputs: Array,
    labels: Array,
    fold: Array,
    seed: int = 0,
    groups: Array | None = None,
    more: Rows | None = None,
) -> npt.NDArray[np.float64]:
    """What the model of a parameter file says of every row (N,) when it learnt from the other folds; fold (N,).

    groups (N,) stay together wherever the model holds rows out. more: further rows to learn from, but for those of groups
    that are judged.
    """
    found = np.empty(len(labels))
    mine = np.arange(len(labels)) if groups is None else groups
    for one in np.unique(fold):
        learnt, apart = np.flatnonzero(fold != one), np.flatnonzero(fold == one)
        rows = Rows(inputs[learnt], labels[learnt], mine[learnt])
        if more is not None:
            there = ~np.isin(more.groups, mine[apart])
            rows = Rows(*(np.concatenate([own, extra[there]]) for own, extra in zip(rows, more, strict=True)))
        inside = None if groups is None and more is None else rows.groups
        model = kinds.make(given).fit(rows.inputs, rows.labels, seed, inside)
        found[apart] = model.predict(inputs[apart])
    return found


def few(models: Mapping[str, Any], fast: bool) -> dict[str, Any]:
    """The models as given; in a short run with few trees and epochs."""
    return {name: _short(one) for name, one in models.items()} if fast else dict(models)


def _short(given: Any) -> Any:
    if isinstance(given, Mapping):
        most = {"trees": 20, "epochs": 2, "folds": 2}
        return {key: min(value, most[key]) if key in most else _short(value) for key, value in given.items()}
    return [_short(one) for one in given] if isinstance(given, list) else given
