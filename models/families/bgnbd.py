"""BG/NBD: how often a customer will buy again, from how often and how lately they bought (Fader, Hardie & Lee 2005,
"'Counting your customers' the easy way", Marketing Science 24(2)).

While active a customer buys at a rate λ ~ Gamma(r, α); after every purchase they leave for good with probability
p ~ Beta(a, b). Of each only three numbers matter: frequency x, repeat purchases; recency t_x, the age at the last of
them; T, the age now. Ages count from the first purchase, in any unit, and so do windows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from models.families import table
from models.families.table import Array, Doubles

KIND = "bgnbd"
NAMES = ("r", "alpha", "a", "b")
NEAR_ONE = 1e-6  # the expectation divides by a - 1: so near to it, a is moved away


@dataclass
class BgNbd:
    """Parameters as in the paper; NaN until `fit`."""

    r: float = np.nan
    alpha: float = np.nan
    a: float = np.nan
    b: float = np.nan

    def fit(self, frequency: Array, recency: Array, age: Array) -> Self:
        """Maximum likelihood over customers (N,). Raises ValueError, with the mend, for histories that cannot be."""
        from scipy.optimize import minimize

        x, t_x, T = checked(frequency, recency, age)
        if not x.any():
            raise ValueError(
                "bgnbd: nobody bought twice, so there is no rate to learn; take a longer interval"
            )
        unit = float(T.mean())  # alpha then is near 1, like the others
        histories, count = np.unique(np.stack([x, t_x / unit, T / unit]), axis=1, return_counts=True)

        def loss(logs: Doubles) -> float:
            return -float(count @ log_likelihood(np.exp(logs), *histories)) / len(x)

        start = np.log([0.5, 0.5, 0.5, 2.0])
        found = minimize(loss, start, method="L-BFGS-B", bounds=[(-8.0, 8.0)] * 4)
        if not found.success:
            raise ValueError(f"bgnbd: no maximum found ({found.message}); give more customers")
        self.r, self.alpha, self.a, self.b = (float(value) for value in np.exp(found.x))
        self.alpha *= unit
        return self

    def predict(self, frequency: Array, recency: Array, age: Array, window: float | Array) -> Doubles:
        """Expected purchases (N,) in the next `window`, a number or (N,): the paper's equation 10."""
        from scipy.special import hyp2f1

        x, t_x, T = checked(frequency, recency, age)
        r, alpha, b = self.r, self.alpha, self.b
        a = self.a if abs(self.a - 1.0) > NEAR_ONE else 1.0 + NEAR_ONE
        t = np.asarray(window, np.float64)
        if (t < 0).any():
            raise ValueError(f"window: {t.min():g} is below 0; want the time from now")
        shrunk = hyp2f1(r + x, b + x, a + b + x - 1.0, t / (alpha + T + t))
        active = 1.0 - ((alpha + T) / (alpha + T + t)) ** (r + x) * shrunk
        return np.asarray((a + b + x - 1.0) / (a - 1.0) * active * self.alive(x, t_x, T), np.float64)

    def alive(self, frequency: Array, recency: Array, age: Array) -> Doubles:
        """P(alive) (N,) at age T: 1 for who bought but once, since one leaves only after a repeat purchase.

        So it does not rank churn; `predict` does.
        """
        x, t_x, T = checked(frequency, recency, age)
        gone = self.a / (self.b + np.maximum(x, 1.0) - 1.0)
        odds = gone * ((self.alpha + T) / (self.alpha + t_x)) ** (self.r + x)
        return np.asarray(np.where(x > 0, 1.0 / (1.0 + odds), 1.0), np.float64)

    def export(self, folder: Path) -> None:
        table.write(folder, KIND, {"parameters": {name: getattr(self, name) for name in NAMES}})

    @classmethod
    def load(cls, folder: Path) -> Self:
        card, _ = table.read(folder, KIND)
        return cls(**card["parameters"])


def log_likelihood(parameters: Array, x: Array, t_x: Array, T: Array) -> Doubles:
    """Of each history (N,) under parameters (r, alpha, a, b): the paper's equation 6, in logs."""
    from scipy.special import betaln, gammaln

    r, alpha, a, b = parameters
    rate = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
    stayed = betaln(a, b + x) - betaln(a, b) - (r + x) * np.log(alpha + T)
    after = np.maximum(x, 1.0)
    left = betaln(a + 1.0, b + after - 1.0) - betaln(a, b) - (r + x) * np.log(alpha + t_x)
    return np.asarray(rate + np.where(x > 0, np.logaddexp(stayed, left), stayed))


def checked(frequency: Array, recency: Array, age: Array) -> tuple[Doubles, Doubles, Doubles]:
    """The three numbers of each customer as float64 (N,). Raises ValueError, with the mend, for what cannot be."""
    given: list[Any] = [np.asarray(one, np.float64) for one in (frequency, recency, age)]
    x, t_x, T = given
    if not len(x) or not x.shape == t_x.shape == T.shape or x.ndim != 1:
        raise ValueError(
            f"histories of shapes {x.shape}, {t_x.shape}, {T.shape}: want frequency, recency and age of each customer"
        )
    wrong = ~((x >= 0) & (t_x >= 0) & (t_x <= T) & ((x > 0) | (t_x == 0)))
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"customer {at}: frequency {x[at]:g}, recency {t_x[at]:g}, age {T[at]:g}; want 0 <= recency <= age, "
            "counted from the first purchase, and recency 0 where nothing was bought again"
        )
    return x, t_x, T
