"""Permutation importance: how much worse a model is when one column is shuffled among the rows, and so says nothing more.

Breiman, "Random forests", Machine Learning 45 (2001). Over an evaluation set, with the standard deviation over shuffles.
Columns that say the same stand in for each other: each may look unimportant although both together are not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.engine import Engine
from models.featurizer import DENSE, ID_COLUMNS, Features
from models.replay.dataset import Sequences
from models.replay.scoring import trunks

Array = npt.NDArray[Any]
# How bad scores (N,) are for labels (N,): higher is worse.
Loss = Callable[[Array, Array], float]


@dataclass(frozen=True)
class Importance:
    """worse: by how much the loss rises, mean over shuffles; sd: its standard deviation."""

    name: str
    worse: float
    sd: float


def of_table(
    predict: Callable[[Array], Array],
    inputs: Array,
    labels: Array,
    names: Sequence[str],
    loss: Loss,
    repeats: int = 5,
    seed: int = 0,
) -> list[Importance]:
    """Of the columns of inputs (N, F), the most important first."""

    def measure(column: int, order: Array) -> float:
        shuffled = inputs.copy()
        shuffled[:, column] = inputs[order, column]
        return loss(labels, predict(shuffled))

    return _ranked(names, measure, loss(labels, predict(inputs)), len(inputs), repeats, seed)


def of_release(
    sequences: Sequences,
    engine: Engine,
    features: Features,
    rows: Array,
    task: str,
    labels: Array,
    loss: Loss,
    repeats: int = 3,
    seed: int = 0,
) -> list[Importance]:
    """Of the inputs of a release's network, at rows (K,) with labels (K,), the most important first.

    features: of all events (N,). A column is shuffled over all events, also the earlier ones that the state comes from.
    """
    at = engine.tasks.index(task)

    def score(changed: Features) -> float:
        trunk = trunks(engine, changed.ids, changed.dense, sequences.bounds, rows)
        return loss(labels, engine.heads(trunk).tasks[:, at])

    def measure(column: int, order: Array) -> float:
        ids, dense = features.ids.copy(), features.dense.copy()
        part, place = (ids, column) if column < len(ID_COLUMNS) else (dense, column - len(ID_COLUMNS))
        part[:, place] = part[order, place]
        return score(Features(ids, dense))

    names = (*ID_COLUMNS, *DENSE)
    return _ranked(names, measure, score(features), len(sequences), repeats, seed)


def _ranked(
    names: Sequence[str],
    measure: Callable[[int, Array], float],
    usual: float,
    rows: int,
    repeats: int,
    seed: int,
) -> list[Importance]:
    rng = np.random.default_rng(seed)
    found = []
    for column, name in enumerate(names):
        rises = [measure(column, rng.permutation(rows)) - usual for _ in range(repeats)]
        found.append(
            Importance(name, float(np.mean(rises)), float(np.std(rises, ddof=1 if repeats > 1 else 0)))
        )
    return sorted(found, key=lambda one: -one.worse)
