"""What families of one plane share: standardised columns, weights and a bias, and how they are kept."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from models.families import table
from models.families.table import Array, Standard


class Linear:
    """weights · standardised row + bias; `fit` of a family sets the three."""

    KIND: ClassVar[str]
    log: bool
    _standard: Standard
    _weights: npt.NDArray[np.float64]
    _bias: float

    def line(self, inputs: Array) -> npt.NDArray[np.float64]:
        """(N,) of inputs (N, F)."""
        rows = self._standard(table.checked(inputs, len(self._standard.mean)))
        return np.asarray(rows @ self._weights + self._bias)

    def export(self, folder: Path) -> None:
        arrays = {**self._standard.arrays(), "weights": self._weights, "bias": np.array([self._bias])}
        table.write(folder, self.KIND, {"settings": table.settings(self)}, arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        card, arrays = table.read(folder, cls.KIND)
        made = cls(**card["settings"])
        made._standard = Standard.read(arrays, made.log)
        made._weights, made._bias = arrays["weights"], float(arrays["bias"][0])
        return made
