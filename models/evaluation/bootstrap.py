"""95 % intervals by resampling shoppers: rows of a shopper are not independent, so that resampling rows would be too sure.

A resample is a weight per shopper. Most figures are functions of sums over rows, so that one product of weights with the
shoppers' sums gives them for all resamples; AUC and average precision take a pass over the sorted rows per resample, and
fewer resamples where there are many rows. All predictors of a question share the resamples: differences are paired.
(Efron & Tibshirani, "An introduction to the bootstrap", 1993, chapters 8 and 13; Field & Welsh, "Bootstrapping clustered
data", JRSS B 69, 2007.)
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from models.metrics import BINS, bin_of, type_rows

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

RESAMPLES = 1000
RANKED = ("auc", "average_precision")
RANKED_LEAST = 200  # resamples that AUC and average precision get at least
RANKED_WORK = 10_000_000  # rows times resamples that they may cost beyond
_CHUNK = 1_000_000  # weights held at a time
_SORTED = 100_000  # weights of sorted rows looked at in one go: they stay in the cache
_CERTAIN = 2.0**-52  # probabilities are cut there as by scikit-learn, or one sure mistake would be infinite


class Range(NamedTuple):
    """A 95 % interval."""

    low: float
    high: float


class Statistic(Protocol):
    """Figures of one predictor under weights of shoppers."""

    def __call__(self, weights: Array, ranked: int) -> dict[str, Floats]:
        """By name, each (r,), for weights (r, U); figures that are costly only for the first `ranked`, else NaN."""


class Resamples:
    """`count` draws, with replacement, of as many shoppers as there are among the rows. One seed, one result."""

    def __init__(self, shopper: Array, count: int = RESAMPLES, seed: int = 0) -> None:
        """shopper: (N,), whose each row is."""
        users, self.code = np.unique(shopper, return_inverse=True)
        self.shoppers, self.count, self._seed = len(users), count, seed
        self.ranked = min(count, max(RANKED_LEAST, RANKED_WORK // max(len(shopper), 1)))

    def weights(self) -> Iterator[Floats]:
        """How often each shopper was drawn, (r, U) at a time, `count` in all."""
        rng, left = np.random.default_rng(self._seed), self.count
        most = max(1, _CHUNK // max(self.shoppers, 1))
        while left:
            rows = min(most, left)
            drawn = rng.integers(0, self.shoppers, (rows, self.shoppers), np.int32)
            place = drawn + np.arange(rows)[:, None] * self.shoppers
            yield np.bincount(place.ravel(), minlength=rows * self.shoppers).reshape(rows, -1).astype(float)
            left -= rows

    def sums(self, columns: Array) -> Floats:
        """Sums (U, m) over each shopper's rows, of columns (N, m)."""
        return np.stack([np.bincount(self.code, column, self.shoppers) for column in columns.T], axis=1)

    def draw(self, statistics: dict[str, Statistic]) -> dict[str, dict[str, Floats]]:
        """Every statistic on the same resamples: by its name and the figure's, (count,)."""
        parts: dict[str, list[dict[str, Floats]]] = {name: [] for name in statistics}
        ranked = self.ranked
        for weights in self.weights():
            for name, statistic in statistics.items():
                parts[name].append(statistic(weights, min(ranked, len(weights))))
            ranked -= min(ranked, len(weights))
        return {
            name: {figure: np.concatenate([part[figure] for part in found]) for figure in found[0]}
            for name, found in parts.items()
        }


class YesNo:
    """Figures of probabilities and decisions: names as in `metrics.Binary` and `metrics.Decided`."""

    def __init__(
        self, resamples: Resamples, labels: Array, scores: Array, said: Array, folds: Array | None = None
    ) -> None:
        """labels, said: bool (N,); scores: probabilities (N,). folds: int (N,), AUC and average precision are then means
        over the folds, since scores of different models do not rank rows against each other."""
        came, sure = labels.astype(float), np.clip(scores, _CERTAIN, 1 - _CERTAIN)
        loss = -np.where(labels, np.log(sure), np.log1p(-sure))
        apart = np.zeros((len(came), BINS))
        apart[np.arange(len(came)), bin_of(scores)] = scores - came
        cells = (labels & said, ~labels & said, labels & ~said)
        columns = (np.ones(len(came)), loss, (scores - came) ** 2, *cells)
        self._sums = resamples.sums(np.column_stack([*columns, apart]))
        each = (
            [np.flatnonzero(folds == fold) for fold in np.unique(folds)]
            if folds is not None
            else [slice(None)]
        )
        self._ranked = [Ranked(resamples.code[rows], labels[rows], scores[rows]) for rows in each]

    def __call__(self, weights: Array, ranked: int) -> dict[str, Floats]:
        rows, loss, square, tp, fp, fn, *apart = (weights @ self._sums).T
        with np.errstate(invalid="ignore", divide="ignore"):
            found = {
                "log_loss": loss / rows,
                "brier": square / rows,
                "ece": np.abs(apart).sum(axis=0) / rows,
                "accuracy": (rows - fp - fn) / rows,
                "precision": tp / (tp + fp),
                "recall": tp / (tp + fn),
                "f1": 2 * tp / (2 * tp + fp + fn),
            }
        every = [one(weights, ranked) for one in self._ranked]
        means = {name: np.mean([one[name] for one in every], axis=0) for name in every[0]}
        return {**means, **found}


class Ranked:
    """AUC and average precision under weights; rows of equal scores stand together, as one step of the curves.

    A shopper's rows of one score are one cell: a predictor that says little costs little.
    """

    def __init__(self, code: Array, labels: Array, scores: Array) -> None:
        _, level = np.unique(-scores, return_inverse=True)
        shoppers = int(code.max()) + 1
        cells, place = np.unique(level * shoppers + code, return_inverse=True)
        self._code = cells % shoppers
        self._rows = np.bincount(place).astype(float)
        self._came = np.bincount(place, labels)
        self._ends = np.flatnonzero(np.append(np.diff(cells // shoppers) != 0, True))

    def __call__(self, weights: Array, ranked: int) -> dict[str, Floats]:
        found = np.full((2, len(weights)), np.nan)
        step = max(1, _SORTED // len(self._code))
        for first in range(0, ranked, step):
            some = slice(first, min(first + step, ranked))
            found[:, some] = self._some(weights[some])
        return {"auc": found[0], "average_precision": found[1]}

    def _some(self, weights: Array) -> tuple[Floats, Floats]:
        weight = weights.take(self._code, axis=1)
        drawn = (weight * self._rows).cumsum(axis=1).take(self._ends, axis=1)
        true = (weight * self._came).cumsum(axis=1).take(self._ends, axis=1)
        false = drawn - true
        gained, lost = np.diff(true, prepend=0.0), np.diff(false, prepend=0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            area = (lost * (true - gained / 2)).sum(axis=1) / (true[:, -1] * false[:, -1])
            precision = (gained * true / np.maximum(drawn, 1.0)).sum(axis=1) / true[:, -1]
        return area, np.where(np.isnan(area), np.nan, precision)


class Means:
    """Plain means of values per row, by name; `roots` adds square roots of some of them."""

    def __init__(
        self, resamples: Resamples, values: dict[str, Array], roots: dict[str, str] | None = None
    ) -> None:
        """values: (N,) by name. roots: new name -> the name whose root it is."""
        self._names, self._roots = tuple(values), roots or {}
        rows = np.ones(len(resamples.code))
        self._sums = resamples.sums(np.column_stack([rows, *values.values()]).astype(float))

    def __call__(self, weights: Array, ranked: int) -> dict[str, Floats]:
        rows, *totals = (weights @ self._sums).T
        found = {name: total / rows for name, total in zip(self._names, totals, strict=True)}
        return found | {name: np.sqrt(found[of]) for name, of in self._roots.items()}


class OneOf:
    """Figures of shares over types: names as in `metrics.Types`."""

    def __init__(self, resamples: Resamples, came: Array, scores: Array) -> None:
        """came: int (N,); scores: (N, T). AUC and average precision are means over the types that a resample holds."""
        self._means = Means(resamples, type_rows(came, scores))
        self._ranked = [
            Ranked(resamples.code, came == kind, scores[:, kind])
            for kind in range(scores.shape[1])
            if 0 < (came == kind).sum() < len(came)
        ]

    def __call__(self, weights: Array, ranked: int) -> dict[str, Floats]:
        every = [one(weights, ranked) for one in self._ranked]
        found = {name: _mean_of_known([one[name] for one in every], len(weights)) for name in RANKED}
        return {**self._means(weights, ranked), **found}


def _mean_of_known(columns: list[Floats], count: int) -> Floats:
    """Mean (count,) of what is not NaN; NaN where nothing is."""
    values = np.array(columns).reshape(-1, count)
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, values, 0.0).sum(axis=0) / known.sum(axis=0))


def spread(figure: str, value: float | None, draws: Floats) -> Range | None:
    """The interval of a figure from its draws; None where it has no value, or hardly a draw has one.

    Percentiles of the draws. The ECE of a resample is too high by about as much as that of the sample itself, so that its
    interval is mirrored at the value (the "basic" one) and cut at 0.
    """
    drawn = draws[np.isfinite(draws)]
    if value is None or len(drawn) < RANKED_LEAST // 2:
        return None
    low, high = np.percentile(drawn, (2.5, 97.5))
    if figure == "ece":
        low, high = max(2 * value - high, 0.0), max(2 * value - low, 0.0)
    return Range(float(low), float(high))
