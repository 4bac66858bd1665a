"""What is known of the weights of each action, after any rewards: Bayesian linear regression for all actions at once.

    reward of action a = W_a · [1, context] + noise,    W ~ N(0, σ² · K ⊗ I),    K = own · I + shared · 11ᵀ

`shared` is the prior variance of what all actions have in common (who buys anyway), `own` that of what tells them apart
(the effects); both in units of the noise's. With `shared` 0 the actions are learnt apart, as in LinUCB (Li, Chu, Langford &
Schapire, WWW 2010, algorithm 1); with it, differences between actions are shrunk and the common part is not (its
"hybrid", and Bishop, "Pattern recognition and machine learning", 2006, section 3.3, for the sums).

All that is kept are sums over rounds, so that it makes no difference when, in which order and in what batches rounds come.
Older rounds count `discount` ** age: ages are from the newest round seen, which every sum is reduced to.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from models.families.table import Array, Doubles


@dataclass
class Posterior:
    """Sums by action, p = 1 + columns of the context. noise: σ as first guessed, worth `noise_rounds` rounds of residuals."""

    actions: int
    columns: int
    own: float = 1.0
    shared: float = 0.0
    noise: float = 1.0
    noise_rounds: float = 10.0
    discount: float = 1.0
    rounds: int = 0
    newest: float | None = None  # time of the newest round, where discounted
    weight: float = 0.0  # of all rounds
    square: float = 0.0  # Σ reward²
    gram: Doubles = field(init=False, repr=False)  # (A, p, p), Σ x xᵀ
    moment: Doubles = field(init=False, repr=False)  # (A, p), Σ x · reward
    _solved: tuple[Doubles, Doubles] | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        for name in ("own", "noise", "noise_rounds"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} {getattr(self, name):g}: want a number above 0")
        if not self.shared >= 0:
            raise ValueError(f"shared {self.shared:g}: want a variance of 0 or more")
        if not 0 < self.discount <= 1:
            raise ValueError(f"discount {self.discount:g}: want above 0 and at most 1, which forgets nothing")
        width = 1 + self.columns
        self.gram = np.zeros((self.actions, width, width))
        self.moment = np.zeros((self.actions, width))

    def learn(
        self, rows: Doubles, action: Array, reward: Doubles, weight: Doubles, at: Doubles | None
    ) -> None:
        """rows (n, p), action int (n,), reward (n,), weight (n,), at (n,). Raises ValueError without `at` if discounted."""
        if not len(rows):
            return
        if self.discount < 1:
            weight = weight * self._aged(at)
        for one in np.unique(action):
            mine = action == one
            weighed = rows[mine] * weight[mine, None]
            self.gram[one] += weighed.T @ rows[mine]
            self.moment[one] += weighed.T @ reward[mine]
        self.square += float(weight @ reward**2)
        self.weight += float(weight.sum())
        self.rounds += len(rows)
        self._solved = None

    def _aged(self, at: Doubles | None) -> Doubles:
        """What each round still counts (n,). A newer one than any before first lets all sums fade."""
        if at is None:
            raise ValueError(f"at: with a discount of {self.discount:g} tell when each round was played")
        newest = max(float(at.max()), float(at.max()) if self.newest is None else self.newest)
        if self.newest is not None and newest > self.newest:
            fade = self.discount ** (newest - self.newest)
            self.gram, self.moment = self.gram * fade, self.moment * fade
            self.square, self.weight = self.square * fade, self.weight * fade
        self.newest = newest
        return np.asarray(self.discount ** (newest - at))

    def mean(self) -> Doubles:
        """Weights expected of each action (A, p)."""
        return self._solution()[0].reshape(self.moment.shape)

    def variance(self) -> float:
        """σ²: the first guess and the residuals, as far as there are any."""
        mean = self._solution()[0]
        left = max(self.square - float(mean @ self.moment.ravel()), 0.0)
        return (self.noise**2 * self.noise_rounds + left) / (self.noise_rounds + self.weight)

    def deviations(self, rows: Doubles) -> Doubles:
        """Standard deviation of what each action is expected to earn (n, A), for rows (n, p)."""
        width, root = rows.shape[1], self.root()
        found = np.empty((len(rows), self.actions))
        for one in range(self.actions):
            found[:, one] = np.sqrt(((rows @ root[one * width : (one + 1) * width]) ** 2).sum(axis=1))
        return found

    def apart(self, rows: Doubles, first: int, second: int) -> Doubles:
        """Standard deviation of the difference of two actions' expectations (n,)."""
        width, root = rows.shape[1], self.root()
        between = root[first * width : (first + 1) * width] - root[second * width : (second + 1) * width]
        return np.asarray(np.sqrt(((rows @ between) ** 2).sum(axis=1)))

    def draws(self, count: int, rng: np.random.Generator) -> Doubles:
        """Weights drawn from the posterior (count, A, p)."""
        normal = rng.normal(size=(count, self.moment.size))
        found: Doubles = self._solution()[0] + normal @ self.root().T
        return np.asarray(found.reshape(count, *self.moment.shape))

    def root(self) -> Doubles:
        """(Ap, Ap): the product with its transpose is the posterior's covariance."""
        return np.asarray(self._solution()[1] * np.sqrt(self.variance()), np.float64)

    def _solution(self) -> tuple[Doubles, Doubles]:
        """Mean (Ap,), and a root of the inverse of the precision (Ap, Ap)."""
        if self._solved is None:
            prior = np.linalg.inv(self.own * np.eye(self.actions) + self.shared)
            width = self.moment.shape[1]
            precision = np.kron(prior, np.eye(width))
            for one in range(self.actions):
                block = slice(one * width, (one + 1) * width)
                precision[block, block] += self.gram[one]
            root: Doubles = np.asarray(np.linalg.inv(np.linalg.cholesky(precision)).T, np.float64)
            self._solved = root @ (root.T @ self.moment.ravel()), root
        return self._solved
