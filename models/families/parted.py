"""Two models, each for its part of the rows: those where a column is above a value, and the others.

As hurdle models do (Mullahy 1986, "Specification and testing of some modified count data models"): where a zero says
something of its own, or was not always recorded in the same way, each part is learnt from its own rows only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from models.families import kinds, table
from models.families.interface import TableModel
from models.families.table import Array

KIND = "parted"


@dataclass
class Parted:
    """above: of rows whose `column` is above `at`; below: of the others, NaN among them."""

    above: TableModel
    below: TableModel
    column: int
    at: float = 0.0

    def fit(self, inputs: Array, labels: Array, seed: int = 0, groups: Array | None = None) -> Self:
        """See TableModel. Raises ValueError that names the part which has no rows, or one class only."""
        rows, wanted = table.checked_training(inputs, labels)
        above = self._above(rows)
        for name, model, mine in (("above", self.above, above), ("below", self.below, ~above)):
            inside = None if groups is None else np.asarray(groups)[mine]
            try:
                model.fit(rows[mine], wanted[mine], seed, inside)
            except ValueError as problem:
                raise ValueError(
                    f"parted: rows whose column {self.column} is {name} {self.at:g}: {problem}"
                ) from None
        return self

    def predict(self, inputs: Array) -> npt.NDArray[np.float64]:
        """(N,), each row as the model of its part says."""
        rows = table.checked(inputs)
        above, found = self._above(rows), np.empty(len(rows))
        for model, mine in ((self.above, above), (self.below, ~above)):
            if mine.any():
                found[mine] = model.predict(rows[mine])
        return found

    def export(self, folder: Path) -> None:
        self.above.export(folder / "above")
        self.below.export(folder / "below")
        table.write(folder, KIND, {"column": self.column, "at": self.at})

    @classmethod
    def load(cls, folder: Path) -> Self:
        card, _ = table.read(folder, KIND)
        return cls(kinds.load(folder / "above"), kinds.load(folder / "below"), card["column"], card["at"])

    def _above(self, rows: Array) -> npt.NDArray[np.bool_]:
        if not 0 <= self.column < rows.shape[1]:
            raise ValueError(
                f"parted: column {self.column} of {rows.shape[1]}; want one of 0 … {rows.shape[1] - 1}"
            )
        return np.asarray(rows[:, self.column] > self.at)
