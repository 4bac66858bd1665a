"""Models of rewards by action, for the estimators that want one: a round is told by models that have not seen it."""

from __future__ import annotations

import copy

import numpy as np
import numpy.typing as npt

from models.families import table
from models.families.interface import TableModel
from models.families.table import Array, Doubles
from models.ope.log import Log

FEW = 2  # rounds of an action, of each reward: with fewer, there is no model of it


class ByAction:
    """A copy of `model` for each action; the mean reward of all where an action has too few rounds, or always the same."""

    def __init__(self, model: TableModel) -> None:
        self._like = model
        self._models: list[TableModel | float] = []

    def fit(self, contexts: Array, log: Log, seed: int = 0) -> ByAction:
        """contexts (N, F)."""
        rows = _rows(contexts, log)
        self._models = []
        for action in range(log.count):
            mine = log.actions == action
            rewards = log.rewards[mine]
            values, counts = np.unique(rewards, return_counts=True)
            if len(values) == 1 and len(rewards) >= FEW:
                self._models.append(_toward(float(rewards.mean()), len(rewards), float(log.rewards.mean())))
            elif len(values) < 2 or (len(values) == 2 and counts.min() < FEW):
                self._models.append(float(log.rewards.mean()))
            else:
                self._models.append(copy.deepcopy(self._like).fit(rows[mine], rewards, seed))
        return self

    def predict(self, contexts: Array) -> Doubles:
        """Expected rewards (N, A)."""
        rows = table.checked(contexts)
        return np.stack(
            [
                np.full(len(rows), one) if isinstance(one, float) else one.predict(rows)
                for one in self._models
            ],
            axis=1,
        )


class Together:
    """One copy of `model` for all actions, which are columns of it: where an action has too few rounds of its own."""

    def __init__(self, model: TableModel) -> None:
        self._like = model
        self._model: TableModel | None = None
        self._count = 0

    def fit(self, contexts: Array, log: Log, seed: int = 0) -> Together:
        """contexts (N, F)."""
        rows, self._count = _rows(contexts, log), log.count
        inputs = np.hstack([rows, np.eye(log.count)[log.actions]])
        self._model = copy.deepcopy(self._like).fit(inputs, log.rewards, seed)
        return self

    def predict(self, contexts: Array) -> Doubles:
        """Expected rewards (N, A). Raises ValueError before `fit`."""
        if self._model is None:
            raise ValueError("rewards: nothing learnt; fit it to a log first")
        rows, model = table.checked(contexts), self._model
        each = (np.hstack([rows, np.tile(action, (len(rows), 1))]) for action in np.eye(self._count))
        return np.stack([model.predict(one) for one in each], axis=1)


def cross_fitted(
    contexts: Array, log: Log, model: TableModel, folds: int = 5, seed: int = 0, apart: bool = True
) -> Doubles:
    """q (N, A): for each fold from a model of the others. apart: a model for each action, else one of all together."""
    rows = _rows(contexts, log)
    fold = _folds(log, folds, seed)
    found = np.empty((len(log), log.count))
    for one in range(folds):
        held = fold == one
        rest = Log(log.actions[~held], log.rewards[~held], log.propensities[~held], log.count)
        made = ByAction(model) if apart else Together(model)
        found[held] = made.fit(rows[~held], rest, seed).predict(rows[held])
    return found


def _toward(mean: float, rounds: int, overall: float) -> float:
    """Always the same reward, seen few times, says less than it seems: one round of the overall mean is added."""
    return (mean * rounds + overall) / (rounds + 1)


def _rows(contexts: Array, log: Log) -> Doubles:
    rows = table.checked(contexts)
    if len(rows) != len(log):
        raise ValueError(f"contexts of {len(rows)} rounds for a log of {len(log)}: want one row a round")
    return rows


def _folds(log: Log, count: int, seed: int) -> npt.NDArray[np.int64]:
    """Fold (N,) of each round, those of an action spread alike."""
    if not 2 <= count <= len(log):
        raise ValueError(f"folds {count} of {len(log)} rounds: want from 2 up to the number of rounds")
    order = np.random.default_rng(seed).permutation(len(log))
    order = order[np.argsort(log.actions[order], kind="stable")]
    fold = np.empty(len(log), np.int64)
    fold[order] = np.arange(len(log)) % count
    return fold
