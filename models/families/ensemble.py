"""Ensembles of any models of tables: averaged, and stacked on out-of-fold predictions.

Stacking (Wolpert 1992): each member predicts rows that it did not learn from, and a final model learns what to make of
those predictions. Rows of one group, say a shopper, never stand on both sides of a fold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from models.families import kinds, table
from models.families.interface import TableModel
from models.families.logistic import Logistic
from models.families.table import Array


@dataclass
class Averaged:
    """The mean of what the models predict, each weighing as `weights` says (all the same by default)."""

    models: Sequence[TableModel]
    weights: Sequence[float] = ()

    def __post_init__(self) -> None:
        if not self.models or len(self.weights) not in (0, len(self.models)):
            raise ValueError(
                f"averaged: {len(self.models)} models with {len(self.weights)} weights; want one model at least, "
                "and a weight for each or none"
            )

    def fit(self, inputs: Array, labels: Array, seed: int = 0, groups: Array | None = None) -> Self:
        """See TableModel. Members get seeds one after the other, so that two of a kind differ."""
        for place, model in enumerate(self.models):
            model.fit(inputs, labels, seed + place, groups)
        return self

    def predict(self, inputs: Array) -> npt.NDArray[np.float64]:
        """(N,), as the members'."""
        members = np.stack([model.predict(inputs) for model in self.models])
        return np.asarray(np.average(members, axis=0, weights=self.weights or None), np.float64)

    def export(self, folder: Path) -> None:
        _export_members(folder, self.models)
        table.write(folder, "averaged", {"weights": list(self.weights), "members": len(self.models)})

    @classmethod
    def load(cls, folder: Path) -> Self:
        card, _ = table.read(folder, "averaged")
        return cls(_load_members(folder, card["members"]), tuple(card["weights"]))


@dataclass
class Stacked:
    """P(label) from a final model over the logits of the members."""

    models: Sequence[TableModel]
    final: TableModel = field(default_factory=Logistic)
    folds: int = 5

    def __post_init__(self) -> None:
        if not self.models or self.folds < 2:
            raise ValueError(
                f"stacked: {len(self.models)} models, {self.folds} folds; want one at least, and two"
            )

    def fit(self, inputs: Array, labels: Array, seed: int = 0, groups: Array | None = None) -> Self:
        """See TableModel; groups (N,): rows of one group stay in one fold."""
        rows, wanted = table.checked_training(inputs, labels)
        outside = self.out_of_fold(rows, wanted, seed, groups)
        self.final.fit(table.logit(outside), wanted, seed, groups)
        for place, model in enumerate(self.models):
            model.fit(rows, wanted, seed + place, groups)
        return self

    def out_of_fold(
        self, inputs: Array, labels: Array, seed: int = 0, groups: Array | None = None
    ) -> npt.NDArray[np.float64]:
        """What each of the M members says of rows that it has not seen, (N, M). The members are left as the last fold did."""
        fold = table.folds(labels, self.folds, seed, groups)
        found = np.empty((len(inputs), len(self.models)))
        for one in range(self.folds):
            learnt, apart = np.flatnonzero(fold != one), np.flatnonzero(fold == one)
            inside = None if groups is None else np.asarray(groups)[learnt]
            for place, model in enumerate(self.models):
                model.fit(inputs[learnt], labels[learnt], seed + place, inside)
                found[apart, place] = model.predict(inputs[apart])
        return found

    def predict(self, inputs: Array) -> npt.NDArray[np.float64]:
        """P(label) (N,) of inputs (N, F)."""
        members = np.stack([model.predict(inputs) for model in self.models], axis=1)
        return self.final.predict(table.logit(members))

    def export(self, folder: Path) -> None:
        _export_members(folder, self.models)
        self.final.export(folder / "final")
        table.write(folder, "stacked", {"folds": self.folds, "members": len(self.models)})

    @classmethod
    def load(cls, folder: Path) -> Self:
        card, _ = table.read(folder, "stacked")
        return cls(_load_members(folder, card["members"]), kinds.load(folder / "final"), card["folds"])


def _export_members(folder: Path, models: Sequence[TableModel]) -> None:
    for place, model in enumerate(models):
        model.export(folder / f"member-{place}")


def _load_members(folder: Path, count: int) -> list[TableModel]:
    return [kinds.load(folder / f"member-{place}") for place in range(count)]
