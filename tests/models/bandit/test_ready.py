"""A bandit made ready for one context at a time says what the bandit says."""

from __future__ import annotations

import numpy as np
import pytest

from models.bandit.policies import KINDS, LinearBandit
from models.bandit.ready import Ready


def learnt(kind: str, actions: int, rounds: int = 300) -> LinearBandit:
    bandit = KINDS[kind](tuple("abcd"[:actions]), 3, epsilon=0.1, own=0.1, shared=1.0)
    rng = np.random.default_rng(actions)
    context, action = rng.normal(size=(rounds, 3)), rng.integers(actions, size=rounds)
    reward = context[:, 0] * action + rng.normal(size=rounds)
    bandit.learn(context, action, reward, np.full(rounds, 1 / actions))
    return bandit


@pytest.mark.parametrize("actions", [2, 3, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_it_says_what_the_bandit_says(kind: str, actions: int) -> None:
    bandit = learnt(kind, actions)
    ready, contexts = Ready(bandit), np.random.default_rng(9).normal(size=(50, 3))
    told = np.array([ready.chances(row) for row in contexts.tolist()])
    np.testing.assert_allclose(told, bandit.probabilities(contexts), rtol=0, atol=1e-12)
    np.testing.assert_allclose(told.sum(axis=1), 1.0, rtol=0, atol=1e-12)
    assert told.min() >= 0.1 / actions - 1e-12


def test_before_anything_is_learnt_the_best_is_anybody() -> None:
    assert Ready(learnt("greedy", 3, 0)).chances([1.0, 2.0, 3.0]) == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize("context", [[1.0], [1.0, 2.0, float("nan")]])
def test_a_context_that_does_not_fit_is_refused(context: list[float]) -> None:
    with pytest.raises(ValueError, match="want 3 finite numbers"):
        Ready(learnt("thompson", 2)).chances(context)
