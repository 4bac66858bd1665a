"""Logistic regression on standardised columns (scikit-learn), with an L1 or L2 penalty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt

from models.families import table
from models.families.linear import Linear
from models.families.table import Array, Standard

KIND = "logistic"


@dataclass
class Logistic(Linear):
    """P(label) = sigmoid(weights · standardised row + bias)."""

    KIND: ClassVar[str] = KIND
    penalty: Literal["l1", "l2"] = "l2"
    strength: float = 1.0  # of the penalty, per sum of squares or of absolute weights; scikit-learn's 1 / C
    balanced: bool = False  # both classes weigh as much; probabilities then want calibration (calibrated.py)
    log: bool = False  # of the inputs, see Standard

    def fit(self, inputs: Array, labels: Array, seed: int = 0, groups: Array | None = None) -> Self:
        """See TableModel."""
        from sklearn.linear_model import LogisticRegression

        rows, wanted = table.checked_training(inputs, labels)
        self._standard = Standard.of(rows, self.log)
        lasso = self.penalty == "l1"
        found = LogisticRegression(
            C=1.0 / self.strength,
            l1_ratio=1.0 if lasso else 0.0,
            solver="liblinear" if lasso else "lbfgs",
            intercept_scaling=100.0,  # liblinear's bias is a weight like any other: this all but frees it
            max_iter=2000,
            random_state=seed,
        ).fit(self._standard(rows), wanted, table.class_weights(wanted, self.balanced))
        self._weights, self._bias = found.coef_[0].astype(np.float64), float(found.intercept_[0])
        return self

    def predict(self, inputs: Array) -> npt.NDArray[np.float64]:
        """P(label) (N,) of inputs (N, F)."""
        return table.sigmoid(self.line(inputs))
