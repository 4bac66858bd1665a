"""Figures of what was asked: every predictor's with intervals, the model's lead over each other one, slices, calibration."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from models import metrics
from models.evaluation.asked import CALIBRATED, MODEL, Asked, AskedAmount, AskedNames, AskedTypes
from models.evaluation.bootstrap import Means, OneOf, Range, Resamples, YesNo, spread
from models.evaluation.slices import Slice, sliced
from models.evaluation.thresholds import Threshold
from models.metrics import Amounts, Binary, Decided, Hits, Types

Array = npt.NDArray[Any]
Draws = Mapping[str, npt.NDArray[np.float64]]

FIGURES = ("auc", "average_precision", "log_loss", "brier", "ece", "accuracy", "precision", "recall", "f1")

TYPES = ("accuracy", "log_loss", "auc", "average_precision")


@dataclass(frozen=True)
class Difference:
    """Model minus reference, and the paired interval; the model leads for sure where that leaves 0 out on its side."""

    value: float
    interval: Range | None


@dataclass(frozen=True)
class Predictor:
    """One predictor's figures. thresholds: one per fold. intervals: by figure, those that have one."""

    quality: Binary
    decided: Decided
    thresholds: tuple[Threshold, ...]
    intervals: dict[str, Range]

    @property
    def figures(self) -> dict[str, float | None]:
        return {name: self.quality.__dict__.get(name, self.decided.__dict__.get(name)) for name in FIGURES}

    def to_json(self) -> dict[str, Any]:
        thresholds = [asdict(one) for one in self.thresholds]
        return {
            **self.quality.to_json(),
            **self.decided.to_json(),
            "thresholds": thresholds,
            "intervals": self.intervals,
        }


@dataclass(frozen=True)
class Fold:
    """One fold of a cross-validation by shopper."""

    rows: int
    auc: float | None
    brier: float


@dataclass(frozen=True)
class Comparison:
    """A yes/no question answered by all predictors on the same rows. shoppers, resamples, ranked: of the intervals."""

    asked: Asked
    predictors: dict[str, Predictor]
    differences: dict[str, dict[str, Difference]]
    slices: tuple[Slice, ...]
    versions: dict[str, Binary]
    folds: tuple[Fold, ...]
    shoppers: int
    resamples: int
    ranked: int

    @property
    def name(self) -> str:
        return self.asked.name

    @property
    def title(self) -> str:
        return self.asked.title

    @property
    def model(self) -> Binary:
        return self.predictors[MODEL].quality

    @property
    def baseline(self) -> Binary:
        return self.predictors["baseline"].quality

    @property
    def without_prediction(self) -> int:
        return self.asked.without_prediction

    @property
    def note(self) -> str:
        """What a reader should know before reading the figures; often nothing."""
        if self.model.auc is None and self.folds:
            return "The rows of a fold all have the same outcome, and cannot be ranked: take fewer folds."
        if self.model.auc is None:
            return f"All {self.model.rows:,} rows have the same outcome: nothing can be ranked. Score a longer interval."
        return ""

    def to_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            **{name: one.to_json() for name, one in self.predictors.items()},
            "without_prediction": self.without_prediction,
            "differences": _plain(self.differences),
            "slices": [one.to_json() for one in self.slices],
            "calibrations": {name: one.to_json(bins=False) for name, one in self.versions.items()},
            "folds": [asdict(one) for one in self.folds],
            "bootstrap": {"shoppers": self.shoppers, "resamples": self.resamples, "ranked": self.ranked},
            "note": self.note,
        }


@dataclass(frozen=True)
class AmountComparison:
    """A question for an amount, by all predictors on the same rows."""

    asked: AskedAmount
    predictors: dict[str, Amounts]
    intervals: dict[str, dict[str, Range]]
    differences: dict[str, dict[str, Difference]]

    def to_json(self) -> dict[str, Any]:
        return {
            "title": self.asked.title,
            "unit": self.asked.unit,
            **_with_intervals(self.predictors, self.intervals),
            "without_prediction": self.asked.without_prediction,
            "differences": _plain(self.differences),
        }


@dataclass(frozen=True)
class HitComparison:
    """Named categories, by all predictors on the same rows."""

    asked: AskedNames
    predictors: dict[str, Hits]
    intervals: dict[str, dict[str, Range]]
    differences: dict[str, dict[str, Difference]]

    @property
    def model(self) -> Hits:
        return self.predictors[MODEL]

    @property
    def baseline(self) -> Hits:
        return self.predictors["baseline"]

    def to_json(self) -> dict[str, Any]:
        return {
            "title": self.asked.title,
            **_with_intervals(self.predictors, self.intervals),
            "without_prediction": self.asked.without_prediction,
            "differences": _plain(self.differences),
        }


@dataclass(frozen=True)
class TypesComparison:
    """A question for one of several types, by all predictors on the same rows."""

    asked: AskedTypes
    predictors: dict[str, Types]
    intervals: dict[str, dict[str, Range]]
    differences: dict[str, dict[str, Difference]]

    def confusion(self) -> tuple[list[str], list[list[int]]]:
        """Types that came, or that the model said; and how often the model said each, by the type that came."""
        counts = np.asarray(self.predictors[MODEL].confusion)
        there = np.flatnonzero(counts.sum(0) + counts.sum(1))
        return [self.asked.types[at] for at in there], counts[np.ix_(there, there)].tolist()

    def to_json(self) -> dict[str, Any]:
        return {
            "title": self.asked.title,
            "types": list(self.asked.types),
            **_with_intervals(self.predictors, self.intervals),
            "without_prediction": self.asked.without_prediction,
            "differences": _plain(self.differences),
        }


def _plain(differences: Mapping[str, Mapping[str, Difference]]) -> dict[str, Any]:
    return {to: {figure: asdict(one) for figure, one in found.items()} for to, found in differences.items()}


def _with_intervals(
    predictors: Mapping[str, Amounts] | Mapping[str, Hits] | Mapping[str, Types],
    intervals: Mapping[str, dict[str, Range]],
) -> dict[str, Any]:
    return {name: {**one.to_json(), "intervals": intervals[name]} for name, one in predictors.items()}


def judge(asked: Asked, seed: int = 0) -> Comparison:
    """Everything about a yes/no question. Raises ValueError without a row."""
    resamples = Resamples(asked.shopper, seed=seed)
    draws = resamples.draw(
        {
            name: YesNo(resamples, asked.labels, asked.scores[name], asked.said[name], asked.folds)
            for name in asked.scores
        }
    )
    found = {}
    for name, scores in asked.scores.items():
        quality = _quality(asked, scores)
        answers = metrics.decided(asked.labels, asked.said[name])
        plain = Predictor(quality, answers, asked.thresholds[name], {})
        found[name] = Predictor(quality, answers, asked.thresholds[name], _ranges(plain.figures, draws[name]))
    values = {name: one.figures for name, one in found.items()}
    return Comparison(
        asked,
        found,
        _differences(values, draws),
        sliced(asked, seed),
        _versions(asked),
        _folds(asked),
        resamples.shoppers,
        resamples.count,
        resamples.ranked,
    )


def judge_amount(asked: AskedAmount, seed: int = 0) -> AmountComparison:
    """Everything about an amount."""
    found = {name: metrics.amounts(asked.came, said) for name, said in asked.predicted.items()}
    errors = {name: said - asked.came for name, said in asked.predicted.items()}
    resamples = Resamples(asked.shopper, seed=seed)
    draws = resamples.draw(
        {
            name: Means(resamples, {"mse": error**2, "mae": np.abs(error)}, {"rmse": "mse"})
            for name, error in errors.items()
        }
    )
    values = {name: {"mse": one.mse, "mae": one.mae, "rmse": one.rmse} for name, one in found.items()}
    ranges = {name: _ranges(values[name], draws[name]) for name in found}
    return AmountComparison(asked, found, ranges, _differences(values, draws))


def judge_names(asked: AskedNames, seed: int = 0) -> HitComparison:
    """Everything about named categories."""
    found = {name: metrics.hits(came, asked.relevant) for name, came in asked.came_true.items()}
    rows = {name: metrics.hit_rows(came, asked.relevant) for name, came in asked.came_true.items()}
    resamples = Resamples(asked.shopper, seed=seed)
    draws = resamples.draw({name: Means(resamples, columns) for name, columns in rows.items()})
    values = {name: {figure: getattr(one, figure) for figure in rows[name]} for name, one in found.items()}
    ranges = {name: _ranges(values[name], draws[name]) for name in found}
    return HitComparison(asked, found, ranges, _differences(values, draws))


def judge_types(asked: AskedTypes, seed: int = 0) -> TypesComparison:
    """Everything about a question for one of several types."""
    found = {name: metrics.types(asked.came, said) for name, said in asked.scores.items()}
    resamples = Resamples(asked.shopper, seed=seed)
    draws = resamples.draw({name: OneOf(resamples, asked.came, said) for name, said in asked.scores.items()})
    values = {name: {figure: getattr(one, figure) for figure in TYPES} for name, one in found.items()}
    ranges = {name: _ranges(values[name], draws[name]) for name in found}
    return TypesComparison(asked, found, ranges, _differences(values, draws))


def _ranges(values: Mapping[str, float | None], draws: Draws) -> dict[str, Range]:
    found = {figure: spread(figure, value, draws[figure]) for figure, value in values.items()}
    return {figure: one for figure, one in found.items() if one is not None}


def _differences(
    values: Mapping[str, Mapping[str, float | None]], draws: Mapping[str, Draws]
) -> dict[str, dict[str, Difference]]:
    """Model minus each other predictor, figure by figure, on the same resamples."""
    found: dict[str, dict[str, Difference]] = {}
    for to in values:
        if to == MODEL:
            continue
        found[to] = {}
        for figure, ours in values[MODEL].items():
            theirs = values[to][figure]
            if ours is not None and theirs is not None:
                apart = draws[MODEL][figure] - draws[to][figure]
                found[to][figure] = Difference(ours - theirs, spread("difference", ours - theirs, apart))
    return found


def _quality(asked: Asked, scores: Array) -> Binary:
    """Over all rows, but AUC and average precision as means over the folds, where there are some."""
    whole = metrics.binary(asked.labels, scores)
    if asked.folds is None:
        return whole
    each = [asked.folds == fold for fold in np.unique(asked.folds)]
    found = [metrics.binary(asked.labels[rows], scores[rows]) for rows in each]
    aucs = [one.auc for one in found if one.auc is not None]
    means = [one.average_precision for one in found if one.average_precision is not None]
    if len(aucs) < len(found):
        return replace(whole, auc=None, average_precision=None)
    return replace(whole, auc=float(np.mean(aucs)), average_precision=float(np.mean(means)))


def _versions(asked: Asked) -> dict[str, Binary]:
    if not asked.versions:
        return {}
    every = {**asked.versions, CALIBRATED: asked.scores[MODEL]}
    order = sorted(every, key=lambda name: (name.startswith("with"), name != "as trained"))
    return {name: metrics.binary(asked.labels, every[name]) for name in order}


def _folds(asked: Asked) -> tuple[Fold, ...]:
    if asked.folds is None:
        return ()
    found = []
    for fold in np.unique(asked.folds):
        rows = asked.folds == fold
        one = metrics.binary(asked.labels[rows], asked.scores[MODEL][rows])
        found.append(Fold(one.rows, one.auc, one.brier))
    return tuple(found)
