"""A choice under a budget: whom to give which action, so that a given spend causes the most.

    value(u, a) = uplift(u, a) · margin - expected cost(u, a)        chosen: argmax over a of value - λ · cost

λ is the price of the budget: what a unit of it must earn on top of itself. It is the multiplier of the multiple-choice
knapsack's constraint (Kellerer, Pferschy & Pisinger, "Knapsack problems", 2004, chapter 11), and found by bisection, since
what is spent falls as λ rises. models/pacing.py does the same through a day whose shoppers are not known yet.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.families.table import Array, Doubles

HALVINGS = 60  # of the interval that λ is in: to the last bits of a double
FREE = 1e-12  # relative: spends closer than that are the same, whatever the order of their sum

Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Allocation:
    """Actions (n,), places in a row; λ; what they cost and are worth together.

    bound: no choice within the budget is worth more (the Lagrangian's dual).
    """

    actions: Places = field(repr=False)
    price: float
    spend: float
    value: float
    bound: float


def values(uplift: Array, margin: Array | float, cost: Array) -> Doubles:
    """uplift (n, A), margin per outcome () or (n,), expected cost (n, A) ─► value (n, A), in money."""
    gained, paid = np.asarray(uplift, np.float64), np.asarray(cost, np.float64)
    each = np.asarray(margin, np.float64)
    return np.asarray(gained * (each[:, None] if each.ndim else each) - paid)


def best(value: Array, cost: Array, price: float, eligible: Array | None = None) -> Places:
    """The action (n,) of the largest value - price · cost, of value and cost (n, A); the cheaper of equals, then the first.

    Raises ValueError for numbers that are not finite, costs below 0, or a row without an eligible action.
    """
    return taken(*checked(value, cost, eligible), price)


def allocate(value: Array, cost: Array, budget: float, eligible: Array | None = None) -> Allocation:
    """The most valuable choice that costs `budget` at most, but for less than one shopper's action.

    At the λ where spend crosses the budget some rows are torn between two actions (all of them, where shoppers are alike).
    They take the dearer in the order of what it adds per unit of cost, as long as it fits. Raises ValueError as `best`, and
    when even the cheapest actions cost more than the budget.
    """
    worth, paid = checked(value, cost, eligible)
    least = float(paid.min(axis=1).sum())
    if not budget >= least * (1 - FREE):
        raise ValueError(
            f"budget {budget:g}: the cheapest actions cost {least:g} already; make doing nothing eligible"
        )
    price, above = priced(worth, paid, budget)
    actions = taken(worth, paid, above)
    if price < above:
        _fill(actions, taken(worth, paid, price), worth, paid, budget)
    rows = np.arange(len(actions))
    dual = above * budget + float((worth - above * paid).max(axis=1).sum())
    return Allocation(
        actions, above, float(paid[rows, actions].sum()), float(worth[rows, actions].sum()), dual
    )


def priced(worth: Doubles, paid: Doubles, budget: float, near: float = 0.0) -> tuple[float, float]:
    """λ from both sides: at the first spend is above the budget, at the second not. Both 0 where the budget suffices.

    Of values and costs as `checked` makes them. Where spend is as `near` to the budget as that share of it, both are the second.
    """
    if _spend(worth, paid, 0.0) <= budget:
        return 0.0, 0.0
    low, high = 0.0, _top(worth, paid)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        spend = _spend(worth, paid, middle)
        if (1 - near) * budget <= spend <= budget:
            return middle, middle
        if spend > budget:
            low = middle
        else:
            high = middle
    return low, high


def monotone(uplift: Array, weights: Array | None = None) -> Doubles:
    """The nearest uplift (n, L) that does not fall as the discount rises: levels in order, the smallest discount first.

    Isotonic regression by row, least squares with weights (L,) or (n, L): max over i ≤ k of the min over j ≥ k of the mean
    of i … j (Barlow et al., "Statistical inference under order restrictions", 1972, theorem 1.4).
    """
    rows = np.asarray(uplift, np.float64)
    if rows.ndim != 2 or not rows.shape[1] or not np.isfinite(rows).all():
        raise ValueError(f"uplift of shape {rows.shape}: want finite numbers (n, levels)")
    weight = np.broadcast_to(1.0 if weights is None else np.asarray(weights, np.float64), rows.shape)
    if not (weight > 0).all():
        raise ValueError("weights: want numbers above 0")
    levels = rows.shape[1]
    sums, parts = (
        np.hstack([np.zeros((len(rows), 1)), np.cumsum(one, axis=1)]) for one in (rows * weight, weight)
    )
    found = np.full(rows.shape, -np.inf)
    for first in range(levels):
        means = (sums[:, first + 1 :] - sums[:, [first]]) / (parts[:, first + 1 :] - parts[:, [first]])
        least = np.minimum.accumulate(means[:, ::-1], axis=1)[:, ::-1]
        found[:, first:] = np.maximum(found[:, first:], least)
    return np.asarray(np.maximum.accumulate(found, axis=1))  # equal levels to the last bit


def checked(value: Array, cost: Array, eligible: Array | None) -> tuple[Doubles, Doubles]:
    """value and cost (n, A) as float64, of what is not eligible -inf and the row's cheapest. See `best` for what is raised."""
    worth, paid = np.asarray(value, np.float64), np.asarray(cost, np.float64)
    if worth.ndim != 2 or worth.shape != paid.shape or not worth.shape[1]:
        raise ValueError(f"value {worth.shape}, cost {paid.shape}: want both (shoppers, actions)")
    if not (np.isfinite(worth).all() and np.isfinite(paid).all() and (paid >= 0).all()):
        raise ValueError("value, cost: want finite numbers, and costs of 0 or more")
    if eligible is None:
        return worth, paid
    may = np.broadcast_to(np.asarray(eligible, np.bool_), worth.shape)
    if not may.any(axis=1).all():
        raise ValueError(
            f"eligible: row {int((~may.any(axis=1)).argmax())} has no action; leave doing nothing eligible"
        )
    least = np.where(may, paid, np.inf).min(axis=1, keepdims=True)
    return np.where(may, worth, -np.inf), np.where(may, paid, least)


def taken(worth: Doubles, paid: Doubles, price: float) -> Places:
    """As `best`, of values and costs as `checked` makes them."""
    score = worth - price * paid
    equal = score == score.max(axis=1, keepdims=True)
    return np.asarray(np.where(equal, paid, np.inf).argmin(axis=1), np.int64)


def _spend(worth: Doubles, paid: Doubles, price: float) -> float:
    return float(paid[np.arange(len(paid)), taken(worth, paid, price)].sum())


def _top(worth: Doubles, paid: Doubles) -> float:
    """A λ at which every row takes a cheapest action: above all that a unit of cost adds to its row's cheapest."""
    cheap = taken(np.where(paid == paid.min(axis=1, keepdims=True), worth, -np.inf), paid, 0.0)
    rows = np.arange(len(paid))
    dearer = paid - paid[rows, cheap][:, None]
    more = worth - worth[rows, cheap][:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(dearer > 0, more / dearer, 0.0)
    return 2.0 * max(float(rate.max(initial=0.0)), 0.0) + 1.0


def _fill(actions: Places, dearer: Places, worth: Doubles, paid: Doubles, budget: float) -> None:
    """Takes the dearer action, into `actions`, where the budget still holds it, best value per unit of cost first."""
    torn = np.flatnonzero(actions != dearer)
    costs = paid[torn, dearer[torn]] - paid[torn, actions[torn]]
    gains = worth[torn, dearer[torn]] - worth[torn, actions[torn]]
    left = budget - float(paid[np.arange(len(actions)), actions].sum())
    with np.errstate(divide="ignore"):
        order = np.argsort(-gains / costs, kind="stable")
    for one in order[costs[order] <= left].tolist():
        if costs[one] <= left:
            actions[torn[one]] = dearer[torn[one]]
            left -= costs[one]
