"""A day's budget spent as planned, on shoppers who come one after the other: λ follows spend against plan.

The plan is what share of the day's candidates has come by when. Every few minutes λ is found again (models/budget.py) such
that, of the latest candidates as they would choose at it, as many as are still to come would spend what is still left.
Where too much or too little was spent so far is therefore made good over the rest of the day. What no plan can promise
stands on its own: an action that would take spend above the bound is not chosen.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.budget import Places, checked, priced, taken
from models.families.table import Array, Doubles

EVEN = (0.0, 1.0)  # candidates come evenly
FEW = 100  # candidates: with fewer, a λ that is there says more than they do
NEAR = 1e-3  # of a budget: nearer than the latest candidates are to those to come
SETTINGS = ("budget", "bound", "curve", "sample", "steps", "forecast", "price")


@dataclass
class Pacer:
    """budget: planned spend of the day, in money. bound: what spend never exceeds, None for the budget itself.

    curve: the share of the day's candidates that has come at evenly spaced times, from 0 at its start to 1 at its end.
    sample: latest candidates that λ is found on, from 100. steps: how often in a day it is. forecast: candidates expected in
    the day, None where nobody knows; what has come counts with it. price: the λ to begin with, best the last day's.
    """

    budget: float
    bound: float | None = None
    curve: tuple[float, ...] = EVEN
    sample: int = 4096
    steps: int = 288
    forecast: float | None = None
    price: float = 0.0
    spent: float = 0.0
    seen: int = 0
    _next: float = field(init=False, repr=False, default=0.0)  # when λ is found again
    _lower: float = field(
        init=False, repr=False, default=0.0
    )  # λ from the side of too much, where choices are torn
    _share: float = field(init=False, repr=False, default=0.0)  # of the torn that take the dearer action
    _carried: float = field(init=False, repr=False, default=0.0)  # what rounding left of the share, below 1
    _latest: tuple[Doubles, Doubles] | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        self.curve = tuple(self.curve)
        if not self.budget >= 0 or not self.limit >= 0:
            raise ValueError(f"budget {self.budget:g}, bound {self.limit:g}: want 0 or more")
        rising = len(self.curve) > 1 and bool((np.diff(self.curve) >= 0).all())
        if not rising or self.curve[0] != 0 or self.curve[-1] != 1:
            raise ValueError("curve: want shares of the day's candidates that rise from 0 to 1")
        if self.sample < FEW or self.steps < 1:
            raise ValueError(f"sample {self.sample}, steps {self.steps}: want {FEW} and 1 or more")
        if not self.price >= 0 or (self.forecast is not None and not self.forecast > 0):
            raise ValueError(f"price {self.price:g}, forecast {self.forecast}: want 0 or more, and above 0")
        self._lower = self.price

    @property
    def limit(self) -> float:
        """The bound in money."""
        return self.budget if self.bound is None else self.bound

    def plan(self, at: float) -> float:
        """What ought to be spent by `at`, the share of the day that has gone by."""
        return self.budget * self._come(at)

    def choose(self, value: Array, cost: Array, at: float, eligible: Array | None = None) -> Places:
        """Actions (n,) of value and expected cost (n, A) at `at`, 0 … 1 of the day, in the order of rows; they are spent.

        Where the bound no longer holds a choice, the row takes the best of what it still holds; the cheapest it must hold
        is left to whoever gives the rows: doing nothing, which costs nothing. Raises ValueError as `budget.best`.
        """
        worth, paid = checked(value, cost, eligible)
        self._remember(worth, paid)
        if at >= self._next:
            self._find(at)
        actions = self._choose(worth, paid)
        self._keep_bound(actions, worth, paid)
        return actions

    def correct(self, amount: float) -> None:
        """Adds what actions cost beyond what was expected of them, or, below 0, what they did not cost after all."""
        self.spent += amount

    def dumped(self) -> str:
        """All that it goes on with after a restart but the latest candidates, as JSON."""
        kept = {name: getattr(self, name) for name in (*SETTINGS, "spent", "seen")}
        return json.dumps(kept, allow_nan=False)

    @classmethod
    def loaded(cls, text: str) -> Pacer:
        """What `dumped` wrote. Raises ValueError for anything else."""
        try:
            found: dict[str, Any] = json.loads(text)
            return cls(**found)
        except (TypeError, ValueError) as problem:
            raise ValueError(f"no pacer ({problem}): give what `dumped` wrote, whole") from None

    def _come(self, at: float) -> float:
        return float(np.interp(at, np.linspace(0.0, 1.0, len(self.curve)), self.curve))

    def _remember(self, worth: Doubles, paid: Doubles) -> None:
        self.seen += len(worth)
        if self._latest is not None:
            worth, paid = (
                np.vstack([old, new]) for old, new in zip(self._latest, (worth, paid), strict=True)
            )
        self._latest = worth[-self.sample :], paid[-self.sample :]

    def _find(self, at: float) -> None:
        """λ for the rest of the day; as it is while nobody can say how many are still to come."""
        left = self._to_come(at)
        if left is None or self._latest is None or (self.price and len(self._latest[0]) < FEW):
            return
        worth, paid = self._latest
        self._next = at + 1.0 / self.steps if len(worth) >= FEW else at
        budget = max(self.budget - self.spent, 0.0) * len(worth) / left
        self._lower, self.price = priced(worth, paid, budget, NEAR)
        rows = np.arange(len(worth))
        much, little = (float(paid[rows, taken(worth, paid, one)].sum()) for one in (self._lower, self.price))
        self._share = min(max((budget - little) / (much - little), 0.0), 1.0) if much > little else 0.0

    def _choose(self, worth: Doubles, paid: Doubles) -> Places:
        """At λ; of rows torn between two actions, as when all are alike, the share that the budget holds: every so many."""
        actions = taken(worth, paid, self.price)
        dearer = taken(worth, paid, self._lower)
        torn = np.flatnonzero(actions != dearer)
        upto = self._carried + self._share * np.arange(1, len(torn) + 1)
        some = torn[np.floor(upto) > np.floor(upto - self._share)]
        actions[some] = dearer[some]
        self._carried = float(upto[-1] % 1.0) if len(torn) else self._carried
        return actions

    def _to_come(self, at: float) -> float | None:
        """Candidates still to come: those of the forecast, corrected by those who came, as the day goes on."""
        come = self._come(at)
        if come >= 1:
            return None
        known = self.seen / come if come > 0 else None
        if self.forecast is not None:
            known = self.forecast if known is None else come * known + (1 - come) * self.forecast
        return None if known is None else (1 - come) * known

    def _keep_bound(self, actions: Places, worth: Doubles, paid: Doubles) -> None:
        """Spends on `actions`, in their order; what would break the bound is exchanged for what does not."""
        rows = np.arange(len(actions))
        costs = paid[rows, actions]
        if self.spent + float(costs.sum()) <= self.limit:
            self.spent += float(costs.sum())
            return
        for row in rows.tolist():
            fits = np.isfinite(worth[row]) & (self.spent + paid[row] <= self.limit)
            if not fits[actions[row]]:
                within = np.where(fits if fits.any() else paid[row] == paid[row].min(), worth[row], -np.inf)
                actions[row] = taken(within[None], paid[row][None], self.price)[0]
            self.spent += float(paid[row, actions[row]])
