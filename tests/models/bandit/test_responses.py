"""Chances of a yes under each action, learnt batch by batch."""

import numpy as np
import pytest

from models.bandit.responses import Responses
from models.families.table import sigmoid

POOLS = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])  # nothing, and two actions that share nothing
TRUE_BASE, TRUE_EFFECT = np.array([-1.0, 0.7]), np.array([[0.0, 0.0], [0.8, -0.5], [-0.4, 0.6]])


def made():
    return Responses(2, 2, POOLS, 3.0, [1.0, 1.0], -1.0)


def rounds(count, seed):
    rng = np.random.default_rng(seed)
    rows = np.column_stack([np.ones(count), rng.normal(size=count)])
    taken = rng.integers(0, 3, count)
    chance = sigmoid(rows @ TRUE_BASE + (rows * TRUE_EFFECT[taken]).sum(axis=1))
    return rows, taken, (rng.random(count) < chance).astype(float)


def learnt(*batches):
    found = made()
    for rows, taken, yes in batches:
        found.learn(rows, rows, taken, yes)
    return found


def test_true_weights_are_found():
    found = learnt(*(rounds(10_000, seed) for seed in range(4)))
    truth = np.concatenate([TRUE_BASE, TRUE_EFFECT[1:].ravel()])
    error = np.sqrt(np.diag(np.linalg.inv(found.precision)))
    assert (np.abs(found.mode - truth) < 4 * error).all()
    assert (error < 0.1).all()


def test_nothing_has_the_base_alone():
    found, rows = learnt(rounds(2000, 1)), rounds(10, 2)[0]
    assert found.chances(rows, rows)[:, 0] == pytest.approx(sigmoid(rows @ found.mode[:2]))


def test_batches_come_to_what_one_batch_does_nearly():
    whole = rounds(20_000, 5)
    parts = [tuple(one[first : first + 5000] for one in whole) for first in range(0, 20_000, 5000)]
    one, other = learnt(whole), learnt(*parts)
    assert other.mode == pytest.approx(one.mode, abs=0.02)


def test_draws_are_as_uncertain_as_is_known():
    found = learnt(rounds(3000, 6))
    draws = found.draws(20_000, np.random.default_rng(0))
    assert np.cov(draws.T) == pytest.approx(np.linalg.inv(found.precision), abs=3e-3)
    assert draws.mean(axis=0) == pytest.approx(found.mode, abs=0.02)


def test_what_is_not_known_yet_is_no_answer():
    rows, taken, yes = rounds(10, 7)
    with pytest.raises(ValueError, match="0 or 1"):
        made().learn(rows, rows, taken, np.where(yes, np.nan, yes))
    with pytest.raises(ValueError, match="spreads"):
        Responses(2, 2, POOLS, 3.0, [1.0], -1.0)
