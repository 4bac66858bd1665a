"""LightGBM on aggregates: what most shops run, and so what every report stands beside where lightgbm is installed.

Settings are the same for every question, and usual for tables of this size: none was tuned on any data here. Shallow trees
at a slow rate, as many as still help on a tenth of the shoppers learnt from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import lightgbm

Array = npt.NDArray[Any]

PARAMETERS: dict[str, Any] = {
    "objective": "binary",
    "learning_rate": 0.05,
    "num_leaves": 15,
    "min_data_in_leaf": 50,
    "feature_fraction": 0.8,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 1.0,
    "verbosity": -1,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
}
TREES = 400
PATIENCE = 30  # trees without gain before it stops
HELD_OUT = 0.1  # of the shoppers, for that


def available() -> bool:
    """Whether lightgbm is installed (extra `learn`)."""
    from importlib.util import find_spec

    return find_spec("lightgbm") is not None


def fit(
    inputs: Array, labels: Array, shopper: Array, columns: tuple[str, ...], seed: int
) -> lightgbm.Booster:
    """From inputs (N, F) with labels bool (N,) of shoppers (N,). One seed, one result."""
    import lightgbm

    users = np.unique(shopper)
    held = np.isin(shopper, users[np.random.default_rng(seed).random(len(users)) < HELD_OUT])
    if len(np.unique(labels[held])) < 2 or len(np.unique(labels[~held])) < 2:
        held = np.zeros(len(shopper), bool)
    learnt = lightgbm.Dataset(inputs[~held], labels[~held], feature_name=list(columns), free_raw_data=False)
    parameters = {**PARAMETERS, "seed": seed}
    if not held.any():  # too few to hold some out
        return lightgbm.train(parameters, learnt, PATIENCE)
    judged = learnt.create_valid(inputs[held], labels[held])
    stop = lightgbm.early_stopping(PATIENCE, verbose=False)
    return lightgbm.train(parameters, learnt, TREES, valid_sets=[judged], callbacks=[stop])


def probability(model: lightgbm.Booster, inputs: Array) -> npt.NDArray[np.float64]:
    """P(label) (N,) of inputs (N, F)."""
    return np.asarray(model.predict(inputs), np.float64)
