"""Bandits on one linear posterior, which differ in how they explore.

Thompson   an action is played as often as it is the best under draws from the posterior (Agrawal & Goyal, ICML 2013)
LinUCB     the best optimistic one: expectation + width · its standard deviation (Li et al., WWW 2010)
Greedy     the best expectation
Uniform    all alike; learns, and takes no notice

Over all of them a share `epsilon` of rounds is played evenly, so that every eligible action of k has propensity ε / k at
least and the log can tell what another policy would have earned (models/ope).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from models.bandit.interface import (
    Choice,
    Mask,
    checked_context,
    checked_eligible,
    checked_penalty,
    drawn,
    floored,
)
from models.bandit.posterior import Posterior
from models.families.table import Array, Doubles

ROWS = 1024  # whose draws are held at a time


@dataclass
class LinearBandit:
    """See Bandit. columns: d of contexts, to which a constant is added here.

    balance: None, every round counts alike; else a round weighs 1 / (A · propensity), at most `balance`, as if all actions
    had been played evenly (Dimakopoulou et al., "Balanced linear contextual bandits", AAAI 2019): for a line that is only
    roughly right. own, shared, noise, noise_rounds, discount: see Posterior.
    """

    kind: ClassVar[str]
    actions: tuple[str, ...]
    columns: int
    epsilon: float = 0.05
    own: float = 1.0
    shared: float = 0.0
    noise: float = 1.0
    noise_rounds: float = 10.0
    discount: float = 1.0
    balance: float | None = None
    seed: int = 0
    posterior: Posterior = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.actions = tuple(self.actions)
        if len(self.actions) < 2 or len(set(self.actions)) < len(self.actions):
            raise ValueError(
                f"actions {', '.join(self.actions) or 'none'}: want two or more, each named once"
            )
        if self.columns < 0:
            raise ValueError(f"columns {self.columns}: want 0 or more")
        if not 0 <= self.epsilon <= 1:
            raise ValueError(f"epsilon {self.epsilon:g}: want a share from 0 to 1")
        if self.balance is not None and not self.balance > 0:
            raise ValueError(f"balance {self.balance:g}: want a largest weight above 0, or none")
        known = (self.own, self.shared, self.noise, self.noise_rounds, self.discount)
        self.posterior = Posterior(len(self.actions), self.columns, *known)

    def probabilities(
        self, context: Array, eligible: Array | None = None, penalty: Array | None = None
    ) -> Doubles:
        """See Bandit."""
        given = checked_context(context, self.columns)
        may = checked_eligible(eligible, len(given), len(self.actions))
        taken_off = checked_penalty(penalty, len(given), len(self.actions))
        rows = np.hstack([np.ones((len(given), 1)), given])
        return floored(self._wanted(rows, may, taken_off), may, self.epsilon)

    def choose(
        self, context: Array, uniform: Array, eligible: Array | None = None, penalty: Array | None = None
    ) -> Choice:
        """See Bandit."""
        return drawn(self.probabilities(context, eligible, penalty), uniform)

    def learn(
        self, context: Array, action: Array, reward: Array, propensity: Array, at: Array | None = None
    ) -> None:
        """See Bandit."""
        given, place = checked_context(context, self.columns), np.asarray(action)
        got, chance = (np.asarray(one, np.float64) for one in (reward, propensity))
        when = None if at is None else np.asarray(at, np.float64)
        self._check_rounds(len(given), place, got, chance, when)
        weight = np.ones(len(given))
        if self.balance is not None:
            weight = np.minimum(1.0 / (len(self.actions) * chance), self.balance)
        rows = np.hstack([np.ones((len(given), 1)), given])
        self.posterior.learn(rows, place.astype(np.int64), got, weight, when)

    def _wanted(self, rows: Doubles, eligible: Mask, penalty: Doubles) -> Doubles:
        """Probabilities (n, A) before the floor, of rows (n, 1 + d)."""
        raise NotImplementedError

    def _check_rounds(
        self, rows: int, action: Array, reward: Doubles, propensity: Doubles, at: Doubles | None
    ) -> None:
        given = {"action": action, "reward": reward, "propensity": propensity}
        for name, one in given.items() if at is None else {**given, "at": at}.items():
            if one.shape != (rows,) or not np.isfinite(one).all():
                raise ValueError(
                    f"{name} of shape {one.shape}: want a finite number for each of {rows} rounds"
                )
        if not np.isin(action, np.arange(len(self.actions))).all():
            raise ValueError(f"action: want places 0 … {len(self.actions) - 1} of {', '.join(self.actions)}")
        if not ((propensity > 0) & (propensity <= 1)).all():
            raise ValueError(
                "propensity: want above 0 and at most 1, the probability that the action was drawn with"
            )


@dataclass
class Thompson(LinearBandit):
    """Rows with two eligible actions exactly, Φ(difference / its deviation); others as shares of `draws` draws.

    With S draws a probability p is off by sqrt(p (1 - p) / S). What is logged is not: the action is drawn with the very
    probability that is told. All rows share the draws, which change with the number of rounds learnt and with the seed.
    """

    kind: ClassVar[str] = "thompson"
    draws: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.draws < 1:
            raise ValueError(f"draws {self.draws}: want 1 or more")

    def _wanted(self, rows: Doubles, eligible: Mask, penalty: Doubles) -> Doubles:
        found = eligible.astype(np.float64)
        count = eligible.sum(axis=1)
        self._pairs(rows, eligible, penalty, count == 2, found)
        many = np.flatnonzero(count > 2)
        if len(many):
            rng = np.random.default_rng((self.seed, self.posterior.rounds))
            weights = self.posterior.draws(self.draws, rng).reshape(-1, rows.shape[1])
            for first in range(0, len(many), ROWS):
                some = many[first : first + ROWS]
                scores = (rows[some] @ weights.T).reshape(len(some), self.draws, -1) - penalty[some, None]
                scores[~np.broadcast_to(eligible[some, None], scores.shape)] = -np.inf
                best = scores.argmax(axis=2) + len(self.actions) * np.arange(len(some))[:, None]
                shares = np.bincount(best.ravel(), minlength=len(some) * len(self.actions)) / self.draws
                found[some] = shares.reshape(len(some), -1)
        return found

    def _pairs(self, rows: Doubles, eligible: Mask, penalty: Doubles, which: Mask, found: Doubles) -> None:
        """Into `found`, for the rows of `which`."""
        mean = self.posterior.mean()
        for pair in np.unique(eligible[which], axis=0):
            first, second = np.flatnonzero(pair).tolist()
            mine = which & (eligible == pair).all(axis=1)
            ahead = rows[mine] @ (mean[second] - mean[first]) - (penalty[mine, second] - penalty[mine, first])
            found[mine, second] = _normal(ahead / self.posterior.apart(rows[mine], first, second))
            found[mine, first] = 1.0 - found[mine, second]


@dataclass
class LinUCB(LinearBandit):
    """width: standard deviations that an action gets on top of its expectation."""

    kind: ClassVar[str] = "linucb"
    width: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.width >= 0:
            raise ValueError(f"width {self.width:g}: want 0 or more standard deviations")

    def _wanted(self, rows: Doubles, eligible: Mask, penalty: Doubles) -> Doubles:
        bonus = self.width * self.posterior.deviations(rows)
        return _best(rows @ self.posterior.mean().T + bonus - penalty, eligible)


@dataclass
class Greedy(LinearBandit):
    """The best expectation, and the floor of exploration."""

    kind: ClassVar[str] = "greedy"

    def _wanted(self, rows: Doubles, eligible: Mask, penalty: Doubles) -> Doubles:
        return _best(rows @ self.posterior.mean().T - penalty, eligible)


@dataclass
class Uniform(LinearBandit):
    """Every eligible action alike."""

    kind: ClassVar[str] = "uniform"

    def _wanted(self, rows: Doubles, eligible: Mask, penalty: Doubles) -> Doubles:
        return np.asarray(eligible / eligible.sum(axis=1, keepdims=True))


KINDS: dict[str, type[LinearBandit]] = {one.kind: one for one in (Thompson, LinUCB, Greedy, Uniform)}


def _best(scores: Doubles, eligible: Mask) -> Doubles:
    """Probability 1 for the largest of the eligible (n, A); equals share it, so that nothing is learnt from an order."""
    inside = np.where(eligible, scores, -np.inf)
    first = inside == inside.max(axis=1, keepdims=True)
    return np.asarray(first / first.sum(axis=1, keepdims=True))


def _normal(z: Array) -> Doubles:
    """Φ (n,)."""
    root = math.sqrt(0.5)
    found: list[Any] = [0.5 * math.erfc(-one * root) for one in z.tolist()]
    return np.array(found, np.float64)
