"""What a model stands beside, fitted on the same questions before what is scored: a constant, recency and frequency, and
LightGBM on aggregates where it is installed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from models import baseline
from models.evaluation.asked import BASELINE, BOOSTING, CONSTANT
from models.replay import boosting
from models.replay.aggregates import COLUMNS, Aggregates
from models.replay.dataset import Sequences
from models.replay.questions import Rows

Array = npt.NDArray[Any]
Predict = Callable[[Rows], Array]


def for_outcomes(
    sequences: Sequences, aggregates: Aggregates | None, past: Rows, seed: int
) -> dict[str, Predict]:
    """Predictors of P(came), by name. aggregates: None leaves LightGBM out. ValueError where past has one outcome only."""

    def usual(rows: Rows) -> Array:
        return baseline.features(sequences.purchases, rows.shopper, rows.moment)

    logistic, rate = baseline.fit(usual(past), past.came), float(past.came.mean())
    found: dict[str, Predict] = {
        BASELINE: _unless_empty(lambda rows: baseline.probability(logistic, usual(rows)))
    }
    if aggregates is not None and boosting.available():
        table = aggregates.table
        trees = boosting.fit(table(past.shopper, past.moment), past.came, past.shopper, COLUMNS, seed)
        found[BOOSTING] = _unless_empty(
            lambda rows: boosting.probability(trees, table(rows.shopper, rows.moment))
        )
    found[CONSTANT] = lambda rows: np.full(len(rows.came), rate)
    return found


def for_amounts(sequences: Sequences, past: Rows, most: float) -> dict[str, Predict]:
    """Predictors of an amount within 0 … most: least squares on recency and frequency, and the mean."""

    def design(rows: Rows) -> Array:
        features = baseline.features(sequences.purchases, rows.shopper, rows.moment)
        return np.column_stack([np.ones(len(features)), features])

    weights, mean = np.linalg.lstsq(design(past), past.came, rcond=None)[0], float(past.came.mean())
    return {
        BASELINE: lambda rows: np.clip(design(rows) @ weights, 0, most),
        CONSTANT: lambda rows: np.full(len(rows.came), mean),
    }


def _unless_empty(predict: Predict) -> Predict:
    """The libraries refuse no rows."""
    return lambda rows: predict(rows) if len(rows.came) else np.empty(0)
