"""Effects of several actions against one control; and learners from a folder, whatever their kind."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np

from models.families import table
from models.families.table import Array, Doubles
from models.uplift.baselines import Averaged, Chance, Response
from models.uplift.learners import DR, Learner, S, T, Transformed, X
from models.uplift.trial import Trial

KIND = "uplift-arms"
KINDS = {one.kind: one for one in (S, T, X, DR, Transformed, Response, Chance)}


class Arms:
    """A learner for each action. effects (N, A) are in the order of `actions`; doing nothing is no column, its effect is 0."""

    def __init__(self, learners: Mapping[str, Learner]) -> None:
        if not learners:
            raise ValueError("arms: no actions; give a learner for one at least")
        self.actions, self.learners = list(learners), dict(learners)

    @classmethod
    def fit(
        cls,
        learner: Learner,
        inputs: Array,
        taken: Array,
        outcomes: Array,
        actions: list[str],
        control: str,
        seed: int = 0,
    ) -> Self:
        """A copy of `learner` for each of `actions`, learnt from its rows and the control's.

        taken: name of the action of each row (N,). Raises ValueError for a name that no row has.
        """
        for name in (*actions, control):
            if not (taken == name).any():
                raise ValueError(
                    f"actions: no row has {name!r}; the rows have {', '.join(map(repr, np.unique(taken).tolist()))}"
                )
        found: dict[str, Learner] = {}
        for name in actions:
            rows = (taken == name) | (taken == control)
            trial = Trial.of(inputs[rows], taken[rows] == name, outcomes[rows])
            found[name] = copy.deepcopy(learner).fit(trial, seed)
        return cls(found)

    def effects(self, inputs: Array) -> Doubles:
        """(N, A)."""
        return np.stack([one.effect(inputs) for one in self.learners.values()], axis=1)

    def export(self, folder: Path) -> None:
        """Each learner has a folder of its own within."""
        for place, one in enumerate(self.learners.values()):
            one.export(folder / f"action-{place}")
        table.write(folder, KIND, {"actions": self.actions})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What `export` wrote. Raises ValueError when it is none."""
        card, _ = table.read(folder, KIND)
        return cls({name: load(folder / f"action-{place}") for place, name in enumerate(card["actions"])})


def load(folder: Path) -> Learner:
    """The learner that `export` of any kind wrote. Raises ValueError when there is none."""
    card, _ = table.read(folder)
    if card["kind"] == Averaged.kind:
        return Averaged([load(folder / f"learner-{place}") for place in range(card["learners"])])
    if card["kind"] not in KINDS:
        raise ValueError(f"{folder} holds a {card['kind']}, none of {', '.join(KINDS)}: export a learner")
    found: Learner = KINDS[card["kind"]].load(folder)
    return found
