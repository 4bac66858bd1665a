"""Runs a release's engine over whole histories, offline: what the live path would have predicted after each event.

Shoppers go in groups, each group's events in rounds with carried state, as the live path steps them; only the rows asked
for go through the heads. Evaluation and backfill both score through here.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from models.engine import Engine, Scores
from models.featurizer import FeatureSpec
from models.replay.dataset import Sequences

Array = npt.NDArray[Any]

GROUP = 512  # shoppers at a time: bounds the memory for features, states and trunks


def score(
    sequences: Sequences, engine: Engine, spec: FeatureSpec, wanted: Array
) -> Iterator[tuple[Array, Scores]]:
    """(rows, scores) per group of shoppers: rows int64 (K,) are those of `wanted` bool (N,), in the sequences' order."""
    shoppers = np.arange(len(sequences.users))
    for first in range(0, len(shoppers), GROUP):
        group = shoppers[first : first + GROUP]
        bounds = sequences.bounds[group[0] : group[-1] + 2]
        rows = np.arange(bounds[0], bounds[-1])
        chosen = rows[wanted[rows]]
        if len(chosen):
            features = sequences.features(spec, slice(int(bounds[0]), int(bounds[-1])))
            yield (
                chosen,
                engine.heads(
                    trunks(engine, features.ids, features.dense, bounds - bounds[0], chosen - bounds[0])
                ),
            )


def trunks(engine: Engine, ids: Array, dense: Array, bounds: Array, chosen: Array) -> npt.NDArray[np.float32]:
    """Trunks (K, T) of the chosen rows of a group; every shopper starts from the zero state at the first of its rows."""
    trunks = np.empty((len(chosen), engine.trunk_size), np.float32)
    place = np.full(bounds[-1], -1, np.int64)
    place[chosen] = np.arange(len(chosen))
    lengths = np.diff(bounds)
    order = np.argsort(-lengths, kind="stable")
    starts, left = bounds[:-1][order], lengths[order]
    hidden = np.zeros((len(order), engine.state_size), np.float32)
    for step in range(int(left.max(initial=0))):
        there = int(np.searchsorted(-left, -step, side="left"))
        rows = starts[:there] + step
        trunk, hidden[:there] = engine.step(ids[rows], dense[rows], hidden[:there])
        at = place[rows]
        trunks[at[at >= 0]] = trunk[at >= 0]
    return trunks
