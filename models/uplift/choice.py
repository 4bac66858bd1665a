"""Which of several learners a trial speaks for, by Qini on folds of it. The rows a choice is judged on are never among it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.uplift.learners import Learner
from models.uplift.measures import qini
from models.uplift.trial import Trial


@dataclass(frozen=True)
class Chosen:
    """The learner, fitted on all rows; its name; mean Qini over the folds by name."""

    name: str
    learner: Learner
    qini: Mapping[str, float]


def choose(
    learners: Mapping[str, Learner], trial: Trial, folds: int = 5, rounds: int = 1, seed: int = 0
) -> Chosen:
    """The learner of the best mean Qini over `rounds` times `folds` folds; the first named of equals.

    Raises ValueError for no learners.
    """
    if not learners:
        raise ValueError("learners: none; give one at least")
    found: dict[str, list[float]] = {name: [] for name in learners}
    for turn in range(rounds):
        fold = trial.folds(folds, seed + turn)
        for one in range(folds):
            learnt, held = trial[fold != one], trial[fold == one]
            for name, learner in learners.items():
                effects = copy.deepcopy(learner).fit(learnt, seed).effect(held.inputs)
                found[name].append(qini(effects, held.treated, held.outcomes))
    means = {name: float(np.mean(values)) for name, values in found.items()}
    best = max(means, key=means.__getitem__)
    return Chosen(best, copy.deepcopy(learners[best]).fit(trial, seed), means)
