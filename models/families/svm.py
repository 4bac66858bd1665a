"""Linear support vector machine on standardised columns (scikit-learn), with probabilities from Platt's calibration.

The margin is no probability. A sigmoid of it is, fitted to margins of rows that the machine did not learn from
(J. Platt 1999, "Probabilistic outputs for support vector machines"): out of fold, so that no row is lost to it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from models.families import table
from models.families.table import Array, Standard

KIND = "svm"


@dataclass
class Svm:
    """P(label) = sigmoid(slope · margin + shift), margin = weights · standardised row + bias."""

    strength: float = 1.0  # of the L2 penalty, per sum of squares; scikit-learn's 1 / C
    balanced: bool = (
        False  # both classes weigh as much in the margin; the calibration undoes it in the probabilities
    )
    log: bool = False  # of the inputs, see Standard
    folds: int = 5  # for the calibration
    _standard: Standard = field(init=False, repr=False)
    _weights: npt.NDArray[np.float64] = field(init=False, repr=False)
    _line: npt.NDArray[np.float64] = field(init=False, repr=False)  # bias, slope, shift

    def fit(self, inputs: Array, labels: Array, seed: int = 0, groups: Array | None = None) -> Self:
        """See TableModel."""
        from sklearn.linear_model import LogisticRegression

        rows, wanted = table.checked_training(inputs, labels)
        self._standard = Standard.of(rows, self.log)
        standard = self._standard(rows)
        fold = table.folds(wanted, self.folds, seed, groups)
        margins = np.empty(len(rows))
        for one in range(self.folds):
            learnt = self._machine(standard[fold != one], wanted[fold != one], seed)
            margins[fold == one] = learnt.decision_function(standard[fold == one])
        platt = LogisticRegression(C=1e6).fit(margins[:, None], wanted)
        machine = self._machine(standard, wanted, seed)
        self._weights = machine.coef_[0].astype(np.float64)
        self._line = np.array([machine.intercept_[0], platt.coef_[0, 0], platt.intercept_[0]], np.float64)
        return self

    def margin(self, inputs: Array) -> npt.NDArray[np.float64]:
        """Signed distance (N,) from the plane, in units of the margin."""
        rows = self._standard(table.checked(inputs, len(self._standard.mean)))
        return np.asarray(rows @ self._weights + self._line[0])

    def predict(self, inputs: Array) -> npt.NDArray[np.float64]:
        """P(label) (N,) of inputs (N, F)."""
        _, slope, shift = self._line
        return table.sigmoid(slope * self.margin(inputs) + shift)

    def export(self, folder: Path) -> None:
        arrays = {**self._standard.arrays(), "weights": self._weights, "line": self._line}
        table.write(folder, KIND, {"settings": table.settings(self)}, arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        card, arrays = table.read(folder, KIND)
        made = cls(**card["settings"])
        made._standard = Standard.read(arrays, made.log)
        made._weights, made._line = arrays["weights"], arrays["line"]
        return made

    def _machine(self, rows: Array, wanted: Array, seed: int) -> Any:
        from sklearn.svm import LinearSVC

        machine = LinearSVC(
            C=1.0 / self.strength,
            dual=False,  # far faster with more rows than columns
            intercept_scaling=100.0,  # the bias is a weight like any other: this all but frees it
            random_state=seed,
        )
        return machine.fit(rows, wanted, table.class_weights(wanted, self.balanced))
