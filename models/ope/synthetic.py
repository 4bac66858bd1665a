"""A bandit that knows what its policies are worth: contexts of normal numbers, yes-or-no rewards, known chances.

    q(x, a) = sigmoid(bias of a + weights of a · x + pairs of a · products of two of x)

The size is that of the synthetic bench of zr-obp (30 actions, 5 numbers of context, softmax policy with β = -3, which likes
bad actions). Ours has actions that are worth very different things, and products that a linear model cannot learn: figures
on it compare between estimators, not with other benches. `Bandit(alike=True)` has that bench's law: every weight and bias
from U(0, 1), no products, so that actions are alike and weights of rounds stay small.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from models.families.table import Array, Doubles, sigmoid
from models.ope.log import Log


@dataclass(frozen=True)
class Bandit:
    """One seed gives one bandit. curve: deviation of the weights of products. alike: the law of zr-obp's bench."""

    actions: int = 30
    dim: int = 5
    curve: float = 0.5
    alike: bool = False
    seed: int = 0
    _weights: Doubles = field(init=False, repr=False)  # (1 + dim + dim · (dim + 1) / 2, A)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        pairs = self.dim * (self.dim + 1) // 2
        scale = np.repeat([1.0, 1.0 / np.sqrt(self.dim), self.curve / np.sqrt(pairs)], [1, self.dim, pairs])
        weights = rng.normal(size=(len(scale), self.actions)) * scale[:, None]
        if self.alike:
            weights = rng.random((len(scale), self.actions))
            weights[1 + self.dim :] = 0.0
        object.__setattr__(self, "_weights", weights)

    def contexts(self, rounds: int, seed: int) -> Doubles:
        """(rounds, dim)."""
        return np.random.default_rng(seed).normal(size=(rounds, self.dim))

    def expected(self, contexts: Array) -> Doubles:
        """True expected rewards (N, A)."""
        first, second = np.triu_indices(self.dim)
        products = contexts[:, first] * contexts[:, second]
        return sigmoid(np.hstack([np.ones((len(contexts), 1)), contexts, products]) @ self._weights)

    def softmax(self, contexts: Array, beta: float) -> Doubles:
        """A policy (N, A) that knows the truth and is drawn to good actions, or, β below 0, to bad ones."""
        return softmax(beta * self.expected(contexts))

    def value(self, beta: float, rounds: int = 200_000, seed: int = 7) -> float:
        """Of `softmax`, over contexts of its own."""
        return self.value_of(lambda contexts: self.softmax(contexts, beta), rounds, seed)

    def value_of(self, policy: Callable[[Doubles], Array], rounds: int = 200_000, seed: int = 7) -> float:
        """Of a policy, which tells (n, A) of contexts (n, dim), over contexts of its own."""
        contexts = self.contexts(rounds, seed)
        return float((policy(contexts) * self.expected(contexts)).sum(axis=1).mean())

    def log(self, contexts: Array, policy: Array, seed: int) -> Log:
        """Rounds as `policy` (N, A) plays them."""
        rng = np.random.default_rng(seed)
        drawn = draw(policy, rng)
        at = np.arange(len(drawn)), drawn
        rewards = rng.random(len(drawn)) < self.expected(contexts)[at]
        return Log.of(drawn, rewards, policy[at], self.actions)


def softmax(scores: Array) -> Doubles:
    """Along the last axis."""
    raised = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))


def draw(policy: Array, rng: np.random.Generator) -> Array:
    """An action (N,) of each round, with the chances of its row (N, A)."""
    upto = np.cumsum(policy, axis=1)
    return np.asarray((rng.random((len(policy), 1)) * upto[:, -1:] >= upto).sum(axis=1))
