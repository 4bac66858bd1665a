"""Figures of releases on the same matured rows, with 95 % intervals by resampling shoppers.

Rows of a shopper are not independent, so shoppers are drawn with replacement, not rows (Field & Welsh, "Bootstrapping
clustered data", JRSS B 69, 2007); all releases are judged on the same draws, so that the interval of a difference is that of
the difference (Efron & Tibshirani, "An introduction to the bootstrap", 1993, chapter 8). One seed, one result.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from models.evaluation.bootstrap import RANKED_LEAST, RESAMPLES, Ranked, Resamples
from models.metrics import BINS, bin_of
from models.replay.matured import Matured

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

FIGURES = ("auc", "log_loss", "brier", "ece", "ratio", "odds")
RANKED_WORK = 20_000_000  # rows times resamples that AUC may cost beyond RANKED_LEAST resamples
CERTAIN = 1e-7  # published scores are float32: nearer to 0 or 1 than this they cannot mean to be


class Figure(NamedTuple):
    """A figure and its 95 % interval; NaN where only one of two outcomes occurs."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} ({self.low:.4f} … {self.high:.4f})"


class Judged(NamedTuple):
    """One release. ece: over BINS equal bins.

    ratio: observed over expected, rows that came over the sum of scores. odds: the same of the odds, came to not came, with
    half a row added to each (Haldane-Anscombe): where most rows come, a ratio cannot be far from 1, however wrong the few
    others are; where few come, the two are alike.
    """

    auc: Figure
    log_loss: Figure
    brier: Figure
    ece: Figure
    ratio: Figure
    odds: Figure

    def to_json(self) -> dict[str, dict[str, float]]:
        return {name: figure._asdict() for name, figure in self._asdict().items()}


class Paired(NamedTuple):
    """Champion and challenger on the same rows; difference: challenger less champion, of each figure."""

    task: str
    rows: int
    shoppers: int
    champion: Judged
    challenger: Judged
    difference: Judged

    def to_json(self) -> dict[str, Any]:
        sides = {name: getattr(self, name).to_json() for name in ("champion", "challenger", "difference")}
        return {"task": self.task, "rows": self.rows, "shoppers": self.shoppers, **sides}


def paired(rows: Matured, resamples: int = RESAMPLES, seed: int = 0) -> Paired:
    """rows: answered by the champion first, then the challenger; at least one."""
    values, draws = _figures(rows, resamples, seed)
    champion, challenger = (_judged(values[side], draws[side]) for side in range(2))
    difference = _judged(values[1] - values[0], draws[1] - draws[0])
    return Paired(rows.task, len(rows), len(np.unique(rows.shopper)), champion, challenger, difference)


def alone(rows: Matured, resamples: int = RESAMPLES, seed: int = 0) -> Judged:
    """rows: answered by one release; at least one."""
    values, draws = _figures(rows, resamples, seed)
    return _judged(values[0], draws[0])


def _judged(values: Floats, draws: Floats) -> Judged:
    """values (F,), draws (R, F): of FIGURES."""
    found = []
    for value, column in zip(values.tolist(), draws.T, strict=True):
        drawn = column[np.isfinite(column)]
        low, high = np.percentile(drawn, [2.5, 97.5]).tolist() if len(drawn) else (np.nan, np.nan)
        found.append(Figure(value, low, high))
    return Judged(*found)


def _figures(rows: Matured, resamples: int, seed: int) -> tuple[Floats, Floats]:
    """Figures (P, F) on the rows as they are, and on each resample (P, R, F)."""
    if not len(rows):
        raise ValueError("no matured rows to judge on")
    drawing = Resamples(rows.shopper, resamples, seed)
    sides = [_Side(drawing, rows.came, scores) for scores in rows.scores]
    ranked = min(resamples, max(RANKED_LEAST, RANKED_WORK // len(rows)))
    whole = np.stack([side(np.ones((1, drawing.shoppers)), 1)[0] for side in sides])
    drawn: list[list[Floats]] = [[] for _ in sides]
    for weights in drawing.weights():
        for side, found in zip(sides, drawn, strict=True):
            found.append(side(weights, min(ranked, len(weights))))
        ranked -= min(ranked, len(weights))
    return whole, np.stack([np.concatenate(found) for found in drawn])


class _Side:
    """One release's rows, summed up by shopper: figures under weights of shoppers (r, U) are products with these sums."""

    def __init__(self, drawing: Resamples, came: Array, scores: Floats) -> None:
        sure = np.clip(scores, CERTAIN, 1 - CERTAIN)
        loss, square = -np.where(came, np.log(sure), np.log1p(-sure)), (scores - came) ** 2
        apart = np.zeros((len(came), BINS))
        apart[np.arange(len(came)), bin_of(scores)] = scores - came
        self._sums = drawing.sums(np.column_stack([np.ones(len(came)), loss, square, came, scores, apart]))
        self._ranked = Ranked(drawing.code, came, scores)

    def __call__(self, weights: Floats, ranked: int) -> Floats:
        """Figures (r, F); AUC of the first `ranked` alone."""
        rows, loss, square, came, expected, *apart = (weights @ self._sums).T
        auc = self._ranked(weights, ranked)["auc"]
        ece = np.abs(np.stack(apart)).sum(0) / rows
        ratio = came / np.maximum(expected, CERTAIN)
        odds = _odds(came, rows) / _odds(expected, rows)
        return np.stack([auc, loss / rows, square / rows, ece, ratio, odds], 1)


def _odds(came: Floats, rows: Floats) -> Floats:
    return np.asarray((came + 0.5) / (rows - came + 0.5))
