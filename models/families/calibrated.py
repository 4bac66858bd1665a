"""Probabilities that come true as often as they say: a map fitted to rows that the model did not learn from.

temperature: sigmoid(logit / T), one number (Guo et al. 2017, "On calibration of modern neural networks"); the shift beside
it mends what weighting the classes did. isotonic: any map that never falls; wants some thousand rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from models.families import kinds, table
from models.families.interface import TableModel
from models.families.table import Array, Doubles

KIND = "calibrated"


@dataclass
class Calibrated:
    """Any model of classes, calibrated on a held-out part of what `fit` is given."""

    model: TableModel
    method: Literal["temperature", "isotonic"] = "temperature"
    held_out: float = 0.2
    _map: tuple[Doubles, Doubles] = field(init=False, repr=False)

    def fit(self, inputs: Array, labels: Array, seed: int = 0, groups: Array | None = None) -> Self:
        """See TableModel. Rows of one group are held out together."""
        rows, wanted = table.checked_training(inputs, labels)
        apart = table.held_out(len(rows), self.held_out, seed, groups)
        inside = None if groups is None else np.asarray(groups)[~apart]
        self.model.fit(rows[~apart], wanted[~apart], seed, inside)
        self._map = fit_map(self.model.predict(rows[apart]), wanted[apart], self.method)
        return self

    def predict(self, inputs: Array) -> npt.NDArray[np.float64]:
        """P(label) (N,) of inputs (N, F)."""
        return apply_map(self.model.predict(inputs), self._map, self.method)

    def export(self, folder: Path) -> None:
        self.model.export(folder / "model")
        settings = {"method": self.method, "held_out": self.held_out}
        table.write(folder, KIND, {"settings": settings}, {"at": self._map[0], "becomes": self._map[1]})

    @classmethod
    def load(cls, folder: Path) -> Self:
        card, arrays = table.read(folder, KIND)
        made = cls(kinds.load(folder / "model"), **card["settings"])
        made._map = (arrays["at"], arrays["becomes"])
        return made


def fit_map(probabilities: Array, labels: Array, method: str) -> tuple[Doubles, Doubles]:
    """The map from probabilities (N,) of rows that were not learnt from, and their labels (N,).

    isotonic: (K,) probabilities and what each becomes, straight lines between. temperature: 1 / T and the shift, (1,) each.
    Raises ValueError for no rows or one class only.
    """
    given, wanted = table.checked_training(np.asarray(probabilities)[:, None], labels)
    if method == "isotonic":
        from sklearn.isotonic import IsotonicRegression

        found = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(given[:, 0], wanted)
        return np.asarray(found.X_thresholds_, np.float64), np.asarray(found.y_thresholds_, np.float64)
    from sklearn.linear_model import LogisticRegression

    line = LogisticRegression(C=1e6).fit(table.logit(given), wanted)
    return line.coef_[0].astype(np.float64), line.intercept_.astype(np.float64)


def apply_map(probabilities: Array, fitted: tuple[Doubles, Doubles], method: str) -> npt.NDArray[np.float64]:
    """Probabilities (N,) as `fit_map` found that they should be."""
    at, becomes = fitted
    if method == "isotonic":
        return np.asarray(np.interp(probabilities, at, becomes))
    return table.sigmoid(table.logit(probabilities) * at[0] + becomes[0])
