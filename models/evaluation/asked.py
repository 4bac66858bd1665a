"""What is judged: a question's rows, what came, and what each predictor said; nothing of how they were made."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from models.evaluation.thresholds import Threshold

Array = npt.NDArray[Any]

MODEL, BASELINE, BOOSTING, CONSTANT = "model", "baseline", "boosting", "constant"
TITLES = {
    MODEL: "model",
    BASELINE: "recency, frequency",
    BOOSTING: "LightGBM on aggregates",
    CONSTANT: "constant",
}
CALIBRATED = "as released"  # the version of the model's scores that is served


@dataclass(frozen=True)
class Asked:
    """A yes/no question of N rows.

    shopper: int (N,). labels: bool (N,). scores: probabilities (N,) by predictor, MODEL and BASELINE always there.
    said: bool (N,) by predictor, the answer at its threshold. thresholds: by predictor, one per fold. slices: text (N,)
    by name of the slicing. versions: the model's scores (N,) under other calibrations. folds: int (N,), which model
    scored the row. without_prediction: rows left out because the model said nothing. titles: of predictors that are
    something else here than in TITLES.
    """

    name: str
    title: str
    shopper: Array
    labels: Array
    scores: dict[str, Array]
    said: dict[str, Array]
    thresholds: dict[str, tuple[Threshold, ...]]
    without_prediction: int
    slices: dict[str, Array] = field(default_factory=dict)
    versions: dict[str, Array] = field(default_factory=dict)
    folds: Array | None = None
    titles: dict[str, str] = field(default_factory=dict)

    def called(self, predictor: str) -> str:
        """The predictor's name for a reader."""
        return self.titles.get(predictor, TITLES[predictor])


@dataclass(frozen=True)
class AskedAmount:
    """A question for an amount of N rows. came: float (N,); predicted: (N,) by predictor. unit: days, baskets, money …"""

    name: str
    title: str
    unit: str
    shopper: Array
    came: Array
    predicted: dict[str, Array]
    without_prediction: int


@dataclass(frozen=True)
class AskedNames:
    """k names per row, best first. came_true: bool (N, k) by predictor; relevant: int (N,), how many came."""

    title: str
    shopper: Array
    relevant: Array
    came_true: dict[str, Array]
    without_prediction: int
    titles: dict[str, str] = field(default_factory=dict)

    def called(self, predictor: str) -> str:
        """The predictor's name for a reader."""
        return self.titles.get(predictor, TITLES[predictor])


@dataclass(frozen=True)
class AskedTypes:
    """A question for one of T types, N rows. came: int (N,), which it was; scores: shares (N, T) by predictor."""

    name: str
    title: str
    types: tuple[str, ...]
    shopper: Array
    came: Array
    scores: dict[str, Array]
    without_prediction: int


@dataclass(frozen=True)
class NotAsked:
    """A question that could not be put, and why, as a sentence."""

    name: str
    title: str
    why: str


def together(folds: Sequence[Asked]) -> Asked:
    """One question from those of each fold: every shopper's rows as scored by a model that has not seen the shopper."""
    first = folds[0]
    predictors = [name for name in first.scores if all(name in one.scores for one in folds)]

    def joined(column: str, name: str) -> Array:
        return np.concatenate([getattr(one, column)[name] for one in folds])

    return Asked(
        first.name,
        first.title,
        np.concatenate([one.shopper for one in folds]),
        np.concatenate([one.labels for one in folds]),
        {name: joined("scores", name) for name in predictors},
        {name: joined("said", name) for name in predictors},
        {name: tuple(choice for one in folds for choice in one.thresholds[name]) for name in predictors},
        sum(one.without_prediction for one in folds),
        {name: joined("slices", name) for name in first.slices},
        {
            name: joined("versions", name)
            for name in first.versions
            if all(name in one.versions for one in folds)
        },
        np.concatenate([np.full(len(one.labels), at) for at, one in enumerate(folds)]),
        first.titles,
    )


def amounts_together(folds: Sequence[AskedAmount]) -> AskedAmount:
    """As `together`."""
    first = folds[0]
    return AskedAmount(
        first.name,
        first.title,
        first.unit,
        np.concatenate([one.shopper for one in folds]),
        np.concatenate([one.came for one in folds]),
        {name: np.concatenate([one.predicted[name] for one in folds]) for name in first.predicted},
        sum(one.without_prediction for one in folds),
    )


def names_together(folds: Sequence[AskedNames]) -> AskedNames:
    """As `together`."""
    first = folds[0]
    return AskedNames(
        first.title,
        np.concatenate([one.shopper for one in folds]),
        np.concatenate([one.relevant for one in folds]),
        {name: np.concatenate([one.came_true[name] for one in folds]) for name in first.came_true},
        sum(one.without_prediction for one in folds),
        first.titles,
    )


def types_together(folds: Sequence[AskedTypes]) -> AskedTypes:
    """As `together`; scores of all folds are ranked as one."""
    first = folds[0]
    return AskedTypes(
        first.name,
        first.title,
        first.types,
        np.concatenate([one.shopper for one in folds]),
        np.concatenate([one.came for one in folds]),
        {name: np.concatenate([one.scores[name] for one in folds]) for name in first.scores},
        sum(one.without_prediction for one in folds),
    )
