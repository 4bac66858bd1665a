"""A table made up for tests of models that learn from one."""

import numpy as np


def table(rows=600, columns=4, seed=0, missing=0.1):
    """Inputs (N, F) with holes, labels (N,), and the probability (N,) that they were drawn with."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(rows, columns))
    truth = 1.0 / (1.0 + np.exp(-2.0 * inputs[:, 0] + inputs[:, 1]))
    labels = (rng.random(rows) < truth).astype(np.float64)
    inputs[:, 2:][rng.random((rows, columns - 2)) < missing] = np.nan
    return inputs, labels, truth
