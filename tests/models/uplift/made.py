"""A trial whose true effects are known."""

import numpy as np

from models.uplift.trial import Trial


def trial(rows=6000, seed=0, share=0.5):
    """A trial of yes and no, and its true effects (N,): column 0 raises what comes anyway, column 1 the effect."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(rows, 3))
    anyway = 1 / (1 + np.exp(1.0 - 0.8 * inputs[:, 0]))
    effect = 0.15 * np.tanh(1.5 * inputs[:, 1])
    treated = rng.random(rows) < share
    chance = np.clip(anyway + effect * treated, 0.01, 0.99)
    known = np.clip(anyway + effect, 0.01, 0.99) - np.clip(anyway, 0.01, 0.99)
    return Trial.of(inputs, treated, (rng.random(rows) < chance).astype(float), share), known
