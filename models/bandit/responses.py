"""The chance of a yes under each action, learnt batch by batch: logistic regression that carries its certainty along.

    log-odds of action a = base · β + Σ over blocks b of  pools[a, b] · (effect · θ_b)

β is who says yes anyhow, θ what actions change; an action whose row of `pools` is 0 changes nothing. Actions that share a
block, as coupons of several values do, are learnt from each other's rows. After each batch the posterior is taken as normal
around its mode (Chapelle & Li, "An empirical evaluation of Thompson sampling", NIPS 2011, algorithm 3, with the whole
covariance; Spiegelhalter & Lauritzen, Networks 20, 1990).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.families.table import Array, Doubles, sigmoid

STEPS = 20  # of Newton's method a batch, at most: it begins where the last batch ended
ENOUGH = 1e-3  # twice the log posterior that a step may still promise


class Responses:
    """base_columns p, effect_columns q; both tables want a constant among their columns. pools (A, B).

    spread: prior deviation of β; spreads (B,): of each block of θ. start: log-odds of a yes before anything is known, the
    weight of the first base column, which should be the constant.
    """

    def __init__(
        self,
        base_columns: int,
        effect_columns: int,
        pools: Array,
        spread: float,
        spreads: Sequence[float],
        start: float,
    ) -> None:
        self._pools = np.asarray(pools, np.float64)
        if self._pools.ndim != 2 or len(spreads) != self._pools.shape[1]:
            raise ValueError(f"pools of shape {self._pools.shape}, {len(spreads)} spreads: want one a block")
        if not min(spread, *spreads) > 0:
            raise ValueError(f"spreads {spread:g}, {list(spreads)}: want numbers above 0")
        self._base = base_columns
        deviations = [np.full(base_columns, spread), *(np.full(effect_columns, one) for one in spreads)]
        self.precision: Doubles = np.diag(np.concatenate(deviations) ** -2.0)
        self.mode: Doubles = np.zeros(len(self.precision))
        self.mode[0] = start

    def chances(self, base: Array, effect: Array, weights: Array | None = None) -> Doubles:
        """P(yes) under each action (n, A), of base (n, p) and effect (n, q). weights: of a draw, None for the mode."""
        known = self.mode if weights is None else weights
        blocks = known[self._base :].reshape(self._pools.shape[1], -1)
        return sigmoid((base @ known[: self._base])[:, None] + effect @ (self._pools @ blocks).T)

    def draws(self, count: int, rng: np.random.Generator) -> Doubles:
        """Weights from the posterior (count, p + B · q)."""
        root = np.linalg.inv(np.linalg.cholesky(self.precision))  # rootᵀ root is the covariance
        return np.asarray(self.mode + rng.normal(size=(count, len(self.mode))) @ root)

    def learn(self, base: Array, effect: Array, taken: Array, yes: Array) -> None:
        """A batch: base (n, p), effect (n, q), actions taken int (n,), what came (n,), 0 or 1. Batches in any order."""
        if not np.isin(yes, (0, 1)).all():
            raise ValueError("yes: want 0 or 1; leave rows out whose answer is not known yet")
        share = self._pools[taken]
        rows = np.hstack([base, (share[:, :, None] * effect[:, None, :]).reshape(len(base), -1)])
        self.mode, self.precision = self._climbed(rows, np.asarray(yes, np.float64))

    def _climbed(self, rows: Doubles, yes: Doubles) -> tuple[Doubles, Doubles]:
        """Mode and precision after a batch: Newton's method, its steps halved until they do not lead down."""
        mode, odds = self.mode, rows @ self.mode
        height = self._height(mode, odds, yes)
        for _ in range(STEPS):
            chance = sigmoid(odds)
            slope = rows.T @ (yes - chance) - self.precision @ (mode - self.mode)
            precision = self.precision + (rows * (chance * (1.0 - chance))[:, None]).T @ rows
            step = np.linalg.solve(precision, slope)
            ahead = rows @ step
            share = 1.0
            while (to := self._height(mode + share * step, odds + share * ahead, yes)) < height:
                share /= 2.0
            mode, odds, height = mode + share * step, odds + share * ahead, to
            if float(slope @ step) < ENOUGH:
                break
        chance = sigmoid(odds)
        return mode, self.precision + (rows * (chance * (1.0 - chance))[:, None]).T @ rows

    def _height(self, mode: Doubles, odds: Doubles, yes: Doubles) -> float:
        """log posterior, but for a constant."""
        off = mode - self.mode
        return float(yes @ odds - np.logaddexp(0.0, odds).sum() - 0.5 * off @ self.precision @ off)
