"""Ridge regression on standardised columns: the mean of amounts of either sign, in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from models.families import table
from models.families.linear import Linear
from models.families.table import Array, Standard

KIND = "ridge"


@dataclass
class Ridge(Linear):
    """Least Σ (label - weights · standardised row - bias)² + strength · Σ weights²."""

    KIND: ClassVar[str] = KIND
    strength: float = 1.0
    log: bool = False  # of the inputs, see Standard

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
        return self.line(inputs)
