"""What learners of effects have to beat, and the mean of several of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from models.families import table
from models.families.interface import TableModel
from models.families.table import Array, Doubles
from models.uplift.learners import Fitted, Learner
from models.uplift.trial import Trial


@dataclass
class Response(Fitted):
    """Who is likely to respond at all: the outcome expected of the treated. No effect, but what is often sorted by."""

    kind: ClassVar[str] = "uplift-response"
    base: TableModel | None = None

    def fit(self, trial: Trial, seed: int = 0) -> Self:
        """See Learner."""
        self._fit("outcome", self.base, trial.inputs[trial.treated], trial.outcomes[trial.treated], seed)
        return self

    def effect(self, inputs: Array) -> Doubles:
        """The expected outcome (N,): it ranks, and is not an effect."""
        return self.models["outcome"].predict(inputs)


@dataclass
class Chance(Fitted):
    """The order of a die; the same die for the same seed, whatever the rows say."""

    kind: ClassVar[str] = "uplift-chance"
    seed: int = 0

    def card(self) -> Mapping[str, Any]:
        return {"seed": self.seed}

    def fit(self, trial: Trial, seed: int = 0) -> Self:
        """See Learner."""
        self.seed = seed
        return self

    def effect(self, inputs: Array) -> Doubles:
        """(N,), in 0 … 1."""
        return np.random.default_rng(self.seed).random(len(inputs))


@dataclass
class Averaged:
    """The mean of what several learners say."""

    kind: ClassVar[str] = "uplift-averaged"
    learners: Sequence[Learner]

    def __post_init__(self) -> None:
        if not self.learners:
            raise ValueError("averaged: no learners; give one at least")

    def fit(self, trial: Trial, seed: int = 0) -> Self:
        """See Learner."""
        for place, one in enumerate(self.learners):
            one.fit(trial, seed + place)
        return self

    def effect(self, inputs: Array) -> Doubles:
        """See Learner."""
        return np.asarray(np.mean([one.effect(inputs) for one in self.learners], axis=0))

    def export(self, folder: Path) -> None:
        """See Learner; each has a folder within."""
        for place, one in enumerate(self.learners):
            one.export(folder / f"learner-{place}")
        table.write(folder, self.kind, {"learners": len(self.learners)})
