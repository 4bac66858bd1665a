"""Ridge regression on standardised columns: the mean of amounts of either sign, in closed form."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from models.families import table
from models.families.table import Array, Standard

KIND = "ridge"


@dataclass
class Ridge:
    """Least Σ (label - weights · standardised row - bias)² + strength · Σ weights²."""

    strength: float = 1.0
    log: bool = False  # of the inputs, see Standard
    _standard: Standard = field(init=False, repr=False)
    _weights: npt.NDArray[np.float64] = field(init=False, repr=False)
    _bias: float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.strength > 0:
            raise ValueError(f"ridge: strength {self.strength:g}; want a number above 0")

    def fit(self, inputs: Array, labels: Array, seed: int = 0, groups: Array | None = None) -> Self:
        """See TableModel; labels may be any number."""
        rows, wanted = table.checked_training(inputs, labels, signed=True)
        self._standard = Standard.of(rows, self.log)
        inside = self._standard(rows)
        middle, self._bias = inside.mean(axis=0), float(wanted.mean())
        inside = inside - middle
        normal = inside.T @ inside + self.strength * np.eye(inside.shape[1])
        self._weights = np.linalg.solve(normal, inside.T @ (wanted - self._bias))
        self._bias -= float(middle @ self._weights)
        return self

    def predict(self, inputs: Array) -> npt.NDArray[np.float64]:
        """Expected label (N,) of inputs (N, F)."""
        rows = self._standard(table.checked(inputs, len(self._standard.mean)))
        return np.asarray(rows @ self._weights + self._bias)

    def export(self, folder: Path) -> None:
        arrays = {**self._standard.arrays(), "weights": self._weights, "bias": np.array([self._bias])}
        table.write(folder, KIND, {"settings": table.settings(self)}, arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        card, arrays = table.read(folder, KIND)
        made = cls(**card["settings"])
        made._standard = Standard.read(arrays, made.log)
        made._weights, made._bias = arrays["weights"], float(arrays["bias"][0])
        return made
