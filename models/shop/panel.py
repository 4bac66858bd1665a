"""What shoppers do, vectorised: a day of the whole shop in one step, or a whole trial at once, with the truth beside.

    panel = Panel(Population.draw(20_000, seed=0), seed=0)
    while ...:  outcomes = panel.step(choose(panel.seen(), panel.allowed()))     # a closed loop, day by day

    trial = run_trial(Population.draw(10_000, 0), treated, action, days=14, seed=0)   # fixed arms, at once
    trial.seen.margin[treated].mean() - trial.seen.margin[~treated].mean()  estimates  trial.effect("margin").mean()

One seed is one luck: whatever is done, a shopper draws the same numbers on the same day, so that policies are compared
on the same shoppers, and differences between policies are less noisy than the policies.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from models.families.table import Array, Doubles, sigmoid
from models.shop.population import (
    ACTIONS,
    CONTACT_COST,
    COUPON_VALUE,
    MARGIN_SHARE,
    MORE_ORDERS,
    NOTHING,
    REACHES,
    RECOVERY,
    Population,
    Seen,
)

BEFORE = 56  # days on which nobody is sent anything, ahead of the first
HABIT = 0.75  # of a need, from a day to the next
NEED = 0.9  # deviation of needs, log-odds
SPREAD = 0.4  # deviation of the log of an order's revenue
OFTEN = 3  # least days between two contacts of a shopper


@dataclass(frozen=True)
class Outcomes:
    """By shopper (N,): what came, or what is to be expected; in a table of actions (N, A)."""

    converted: Doubles  # 1 with an order, else 0; as an expectation the chance
    orders: Doubles
    revenue: Doubles  # money
    coupon_cost: Doubles  # money off that was redeemed
    contact_cost: Doubles  # of sending
    margin: Doubles  # share of revenue less both costs
    unsubscribed: Doubles

    @property
    def spent(self) -> Doubles:
        """What a budget pays (N,)."""
        return self.coupon_cost + self.contact_cost

    def plus(self, other: Outcomes) -> Outcomes:
        """Sums, field by field."""
        return Outcomes(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))


def expected(population: Population, chances: Array, leaves: Array) -> Outcomes:
    """Means under each action (N, A), of chances (N, A) and P(unsubscribes if reached) (N,)."""
    orders = chances * (1.0 + MORE_ORDERS)
    revenue = orders * population.basket[:, None]
    coupons = chances * population.redeems[:, None] * COUPON_VALUE
    contacts = np.broadcast_to(CONTACT_COST, chances.shape)
    return Outcomes(
        chances,
        orders,
        revenue,
        coupons,
        contacts,
        MARGIN_SHARE * revenue - coupons - contacts,
        REACHES * leaves[:, None],
    )


def drawn(population: Population, chance: Array, leave: Array, action: Array, luck: Array) -> Outcomes:
    """What comes of chances (N,) under actions (N,). luck: uniform (5, N)."""
    converted = (luck[0] < chance).astype(float)
    orders = converted * (1 + (luck[1] < MORE_ORDERS))
    size = np.exp(SPREAD * _normal(luck[2]) - SPREAD**2 / 2)
    revenue = orders * population.basket * size
    coupons = converted * (luck[3] < population.redeems) * COUPON_VALUE[action]
    contacts = CONTACT_COST[action]
    left = (REACHES[action] & (luck[4] < leave)).astype(float)
    return Outcomes(
        converted, orders, revenue, coupons, contacts, MARGIN_SHARE * revenue - coupons - contacts, left
    )


class Panel:
    """The shop's state on a day: what each shopper needs, how tired each is of contacts, who unsubscribed."""

    def __init__(self, population: Population, seed: int) -> None:
        self.population, self._seed, self.day = population, seed, 0
        count = len(population)
        self.fatigue, self.subscribed = np.zeros(count), np.ones(count, bool)
        self.since = np.full(count, 1_000)  # days since the latest contact
        self.before, need = _before(population, seed)
        self._need, self._seen = need, Seen(population, seed, self.before.orders, self.before.revenue)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns of `seen`."""
        return Seen.names()

    def seen(self) -> Doubles:
        """What a site can see this morning (N, F). The same however often it is asked."""
        rng = np.random.default_rng((self._seed, 3, self.day))
        today = self._seen.today(self.day, self._need, self.fatigue, rng)
        return np.hstack([self._seen.table, today])

    def allowed(self) -> npt.NDArray[np.bool_]:
        """Actions that may be chosen (N, A): contacts only of subscribers, and not within OFTEN days of another."""
        reached = self.subscribed & (self.since >= OFTEN)
        return ~REACHES | reached[:, None]

    def need(self) -> Doubles:
        """What each shopper needs today (N,), log-odds. Only for judging."""
        return self._need.copy()

    def truth(self) -> Outcomes:
        """Expected outcomes of today under each action (N, A). Only for oracles and for judging."""
        chances = self.population.chances(self.day, self._need, self.fatigue)
        return expected(self.population, chances, self.population.leaves(self.fatigue))

    def come(self, actions: Array) -> Outcomes:
        """What comes of actions (N,) today, without the day passing: a shopper's luck does not depend on other shoppers.

        Raises ValueError for an action that is no index in ACTIONS, or was not allowed.
        """
        chosen = _checked(actions, len(self.population))
        at = np.arange(len(chosen)), chosen
        refused = ~self.allowed()[at]
        if refused.any():
            raise ValueError(
                f"actions: {int(refused.sum())} contacts of who unsubscribed or had one within {OFTEN} days; ask allowed()"
            )
        luck = np.random.default_rng((self._seed, 4, self.day)).random((5, len(chosen)))
        chance = self.population.chances(self.day, self._need, self.fatigue)[at]
        return drawn(self.population, chance, self.population.leaves(self.fatigue), chosen, luck)

    def step(self, actions: Array) -> Outcomes:
        """`come`, and the day passes."""
        chosen, found = np.asarray(actions), self.come(actions)
        self.subscribed &= found.unsubscribed == 0
        self.since = np.where(REACHES[chosen], 1, self.since + 1)
        self.fatigue = RECOVERY * (self.fatigue + REACHES[chosen])
        self._need = next_need(self._need, np.random.default_rng((self._seed, 7, self.day)))
        self.day += 1
        return found


@dataclass(frozen=True)
class TrialRun:
    """A trial's sums by shopper (N,): what was seen, and means in both worlds, the needs of the days being what they were."""

    treated: npt.NDArray[np.bool_]
    before: Doubles  # revenue of the BEFORE days ahead
    seen: Outcomes
    with_action: Outcomes
    without: Outcomes

    def effect(self, field: str) -> Doubles:
        """What being treated changes in the mean of `field` (N,), true for each shopper."""
        return np.asarray(getattr(self.with_action, field) - getattr(self.without, field))


def run_trial(
    population: Population, treated: Array, action: int | Array, days: int, seed: int, every: int = OFTEN
) -> TrialRun:
    """Fixed arms over `days`: who is treated gets `action`, one or (N,), on each `every`-th day while subscribed.

    converted of a trial is the number of days with an order; unsubscribed happens once. The means are exact: fatigue
    touches contacts alone, so that who unsubscribed is, from then on, as in the other world.
    """
    arm = np.asarray(treated, bool)
    chosen = _checked(np.broadcast_to(action, arm.shape), len(population))
    before, need = _before(population, seed)
    rng = np.random.default_rng((seed, 5))
    seen, subscribed = _none(len(population)), np.ones(len(population), bool)
    both = [_none(len(population)), _none(len(population))]
    fatigue, still = (
        np.zeros(len(population)),
        np.ones(len(population)),
    )  # of the treated; P(still subscribed)
    for day in range(days):
        acts = np.where(day % every == 0, chosen, NOTHING)
        chances, leaves = population.chances(day, need, fatigue), population.leaves(fatigue)
        means, at = expected(population, chances, leaves), (np.arange(len(acts)), acts)
        share = np.where(REACHES[acts], still, 1.0)
        both[0] = both[0].plus(_mixed(means, at, share))
        both[1] = both[1].plus(_mixed(means, at, np.zeros(len(acts))))
        done = np.where(arm & (subscribed | ~REACHES[acts]), acts, NOTHING)
        came = drawn(
            population, chances[np.arange(len(acts)), done], leaves, done, rng.random((5, len(acts)))
        )
        seen, subscribed = seen.plus(came), subscribed & (came.unsubscribed == 0)
        still = still * (1.0 - REACHES[acts] * leaves)
        fatigue = RECOVERY * (fatigue + REACHES[acts])
        need = next_need(need, rng)
    return TrialRun(arm, before.revenue, seen, both[0], both[1])


def _mixed(means: Outcomes, at: tuple[Array, Array], share: Array) -> Outcomes:
    """The chosen action's column with the chance `share` (N,), else that of nothing."""
    parts = (getattr(means, one.name) for one in fields(means))
    return Outcomes(*(share * part[at] + (1.0 - share) * part[:, NOTHING] for part in parts))


def _none(count: int) -> Outcomes:
    return Outcomes(*(np.zeros(count) for _ in fields(Outcomes)))


def _before(population: Population, seed: int) -> tuple[Outcomes, Doubles]:
    """Sums over the days ahead of the first, and the needs with which the first begins."""
    rng = np.random.default_rng((seed, 6))
    count = len(population)
    need, total, nothing = NEED * rng.normal(size=count), _none(count), np.full(count, NOTHING)
    for day in range(-BEFORE, 0):
        chance = sigmoid(population.usual(day) + need)
        total = total.plus(drawn(population, chance, np.zeros(count), nothing, rng.random((5, count))))
        need = next_need(need, rng)
    return total, need


def next_need(need: Array, rng: np.random.Generator) -> Doubles:
    """A stationary AR(1) of deviation NEED."""
    return np.asarray(HABIT * need + NEED * np.sqrt(1 - HABIT**2) * rng.normal(size=len(need)))


def _normal(uniform: Array) -> Doubles:
    """Standard normal numbers of uniform ones."""
    from scipy.special import ndtri

    return np.asarray(ndtri(uniform))


def _checked(actions: Array, count: int) -> npt.NDArray[np.int64]:
    """Raises ValueError for another length, or what is no index in ACTIONS."""
    found = np.asarray(actions)
    if found.shape != (count,):
        raise ValueError(f"actions of shape {found.shape} for {count} shoppers: want one a shopper")
    if ((found < 0) | (found >= len(ACTIONS))).any():
        raise ValueError(f"actions: {found.min()} … {found.max()}; want indices of {', '.join(ACTIONS)}")
    return found.astype(np.int64)
