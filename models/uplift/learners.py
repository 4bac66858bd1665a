"""Learners of effects on top of any model of tables (Künzel et al., "Metalearners for estimating heterogeneous treatment
effects using machine learning", PNAS 116(10), 2019; Kennedy, "Towards optimal doubly robust estimation of heterogeneous
causal effects", 2023; Athey & Imbens 2015 for the transformed outcome).

`base` learns outcomes: a model of yes or no (logistic, boosting) or of amounts. `final` learns effects, numbers of either
sign: ridge, or boosting with objective l2. Both are patterns: what is fitted are copies.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from models.families import kinds, table
from models.families.interface import TableModel
from models.families.table import Array, Doubles
from models.uplift.trial import Trial


class Learner(Protocol):
    """Learns from a trial what the action changes for whom."""

    def fit(self, trial: Trial, seed: int = 0) -> Self:
        """One seed gives one result. Raises ValueError, with the mend, where the base has nothing to learn from."""

    def effect(self, inputs: Array) -> Doubles:
        """Expected outcome with the action less that without (N,), in the outcome's unit, of inputs (N, F)."""

    def export(self, folder: Path) -> None:
        """Writes what `models.uplift.arms.load` needs: safetensors, JSON, and a library's own text."""


@dataclass
class Fitted:
    """What learners share: the models that they are made of, by name, and how these lie in a folder."""

    kind: ClassVar[str]
    models: dict[str, TableModel] = field(init=False, repr=False, default_factory=dict)

    def card(self) -> Mapping[str, Any]:
        """Plain settings beside the models."""
        return {}

    def export(self, folder: Path) -> None:
        """See Learner."""
        for name, model in self.models.items():
            model.export(folder / name)
        table.write(folder, self.kind, {"models": list(self.models), "settings": dict(self.card())})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What `export` wrote: effects are equal to the bit. Raises ValueError when it is no learner of this kind."""
        card, _ = table.read(folder, cls.kind)
        made = cls(**card["settings"])
        made.models = {name: kinds.load(folder / name) for name in card["models"]}
        return made

    def _fit(self, name: str, like: TableModel | None, inputs: Array, labels: Array, seed: int) -> TableModel:
        self.models[name] = fitted(like, inputs, labels, seed)
        return self.models[name]


def fitted(like: TableModel | None, inputs: Array, labels: Array, seed: int) -> TableModel:
    """A copy of `like` that has learnt."""
    if like is None:
        raise ValueError("base: none; a loaded learner tells effects, to learn anew make one with its models")
    return copy.deepcopy(like).fit(inputs, labels, seed)


@dataclass
class S(Fitted):
    """One model of both arms, with the arm as a column, ±½; the effect is what moving that column does.

    interactions: also its product with every column, or with those at the places given, for bases that find none of their
    own; the base's penalty then shrinks differences between shoppers, and what has no product makes none on the scale of
    the base (log odds, for logistic).
    """

    kind: ClassVar[str] = "uplift-s"
    base: TableModel | None = None
    interactions: bool | Sequence[int] = False

    def card(self) -> Mapping[str, Any]:
        given = self.interactions
        return {"interactions": given if isinstance(given, bool) else list(given)}

    def fit(self, trial: Trial, seed: int = 0) -> Self:
        """See Learner."""
        self._fit("outcome", self.base, self._with(trial.inputs, trial.treated - 0.5), trial.outcomes, seed)
        return self

    def effect(self, inputs: Array) -> Doubles:
        """See Learner."""
        rows, half = table.checked(inputs), np.full(len(inputs), 0.5)
        outcome = self.models["outcome"]
        return outcome.predict(self._with(rows, half)) - outcome.predict(self._with(rows, -half))

    def _with(self, inputs: Array, arm: Array) -> Array:
        given = self.interactions
        some = inputs if given is True else _columns(inputs, given or ())
        return np.hstack([inputs, arm[:, None], some * arm[:, None]])


@dataclass
class T(Fitted):
    """A model for each arm; the effect is their difference."""

    kind: ClassVar[str] = "uplift-t"
    base: TableModel | None = None

    def fit(self, trial: Trial, seed: int = 0) -> Self:
        """See Learner."""
        for name, arm in (("treated", trial.treated), ("control", ~trial.treated)):
            self._fit(name, self.base, trial.inputs[arm], trial.outcomes[arm], seed)
        return self

    def effect(self, inputs: Array) -> Doubles:
        """See Learner."""
        return self.models["treated"].predict(inputs) - self.models["control"].predict(inputs)


@dataclass
class X(Fitted):
    """Each arm's outcomes less what the other arm's model expects of these shoppers; a model of effects for each arm.

    share: of the treated, with which the control's model of effects weighs.
    """

    kind: ClassVar[str] = "uplift-x"
    base: TableModel | None = None
    final: TableModel | None = None
    share: float = 0.5

    def card(self) -> Mapping[str, Any]:
        return {"share": self.share}

    def fit(self, trial: Trial, seed: int = 0) -> Self:
        """See Learner. `share` becomes the trial's."""
        outcome = T(self.base).fit(trial, seed).models
        on, off = trial.treated, ~trial.treated
        gained = trial.outcomes[on] - outcome["control"].predict(trial.inputs[on])
        missed = outcome["treated"].predict(trial.inputs[off]) - trial.outcomes[off]
        self._fit("treated", self.final, trial.inputs[on], gained, seed)
        self._fit("control", self.final, trial.inputs[off], missed, seed)
        self.share = float(trial.propensity.mean())
        return self

    def effect(self, inputs: Array) -> Doubles:
        """See Learner."""
        treated, control = (self.models[name].predict(inputs) for name in ("treated", "control"))
        return self.share * control + (1.0 - self.share) * treated


@dataclass
class DR(Fitted):
    """One model of effects on doubly robust pseudo-outcomes, whose models of outcomes come from the other folds.

    columns: places of those that effects are told by, None for all; outcomes are by all.
    """

    kind: ClassVar[str] = "uplift-dr"
    base: TableModel | None = None
    final: TableModel | None = None
    folds: int = 5
    columns: Sequence[int] | None = None

    def card(self) -> Mapping[str, Any]:
        return {"folds": self.folds, "columns": None if self.columns is None else list(self.columns)}

    def fit(self, trial: Trial, seed: int = 0) -> Self:
        """See Learner."""
        outcomes = pseudo_outcomes(trial, self.base, self.folds, seed)
        self._fit("effect", self.final, self._some(trial.inputs), outcomes, seed)
        return self

    def effect(self, inputs: Array) -> Doubles:
        """See Learner."""
        return self.models["effect"].predict(self._some(inputs))

    def _some(self, inputs: Array) -> Array:
        return inputs if self.columns is None else _columns(table.checked(inputs), self.columns)


def _columns(inputs: Array, places: Sequence[int]) -> Array:
    width = inputs.shape[1]
    if not all(0 <= one < width for one in places):
        raise ValueError(f"columns {list(places)}: want places 0 … {width - 1} of the inputs")
    return inputs[:, list(places)]


def pseudo_outcomes(trial: Trial, base: TableModel | None, folds: int, seed: int = 0) -> Doubles:
    """μ₁ - μ₀ + (T - e) / (e (1 - e)) · (Y - μ_T) (N,), of expectation the effect if either μ or e is right."""
    fold, found = trial.folds(folds, seed), np.empty(len(trial))
    for one in range(folds):
        rows = fold == one
        here, outcome = trial[rows], T(base).fit(trial[~rows], seed).models
        treated, control = (outcome[name].predict(here.inputs) for name in ("treated", "control"))
        left = here.outcomes - np.where(here.treated, treated, control)
        found[rows] = treated - control + here.weighted() * left
    return found


@dataclass
class Transformed(Fitted):
    """One model of effects on Y (T - e) / (e (1 - e)), whose expectation is the effect."""

    kind: ClassVar[str] = "uplift-transformed"
    final: TableModel | None = None

    def fit(self, trial: Trial, seed: int = 0) -> Self:
        """See Learner."""
        self._fit("effect", self.final, trial.inputs, trial.weighted() * trial.outcomes, seed)
        return self

    def effect(self, inputs: Array) -> Doubles:
        """See Learner."""
        return self.models["effect"].predict(inputs)
