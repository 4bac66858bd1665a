"""Who gets what in the closed loop: a learner, an oracle that knows the truth, and what people do without either.

None but the oracle is shown more than a site has: what is seen of shoppers, what came of the own actions, and the plan.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.bandit.interface import drawn, floored
from models.bandit.responses import Responses
from models.budget import allocate, best, checked, priced, values
from models.families.logistic import Logistic
from models.families.ridge import Ridge
from models.families.table import Array, Doubles, Standard
from models.shop.panel import Outcomes, Panel
from models.shop.population import ACTIONS, CONTACT_COST, COUPON_VALUE, MARGIN_SHARE, NOTHING, REACHES

Places = npt.NDArray[np.int64]
NEAR = 1e-3  # of a plan: nearer λ need not be found
POINT_COST = 0.5  # of a coupon, per unit of its value, before any was sent


class Policy(Protocol):
    """Chooses in the morning, and hears in the evening what came."""

    def choose(self, seen: Doubles, allowed: Array, plan: float) -> Places:
        """An action (N,) for each shopper, of expected cost `plan` together at most; seen (N, F), allowed (N, A)."""

    def hear(self, outcomes: Outcomes) -> None:
        """What came of what was chosen last."""


class Oracle:
    """The most valuable choice of the day under its plan, by the true means. It does not look beyond the day."""

    def __init__(self, panel: Panel) -> None:
        self._panel = panel

    def choose(self, seen: Doubles, allowed: Array, plan: float) -> Places:
        """See Policy."""
        truth = self._panel.truth()
        return allocate(truth.margin - truth.margin[:, [NOTHING]], truth.spent, plan, allowed).actions

    def hear(self, outcomes: Outcomes) -> None:
        """Nothing new."""


class Learner:
    """Thompson sampling on the chance of an order under each action, and λ of the day's plan.

    value = (P(order | action) - P(order | nothing)) · margin of an order - expected cost; the chance by
    models.bandit.Responses, margin and redemption by a line and a logistic of what was seen. A share FLOOR of choices is
    even among all that is allowed.
    """

    DRAWS, FLOOR = 8, 0.005
    RARE = 50  # coupons that have to be redeemed, and not, before redemption is learnt

    def __init__(self, first: Doubles, seed: int) -> None:
        """first: what is seen on the first morning (N, F); columns are scaled by it."""
        self._standard, self._rng = Standard.of(first, False), np.random.default_rng((seed, 11))
        base, effect = self._tables(first)
        coupons = np.log1p(COUPON_VALUE) / np.log1p(COUPON_VALUE.max())
        pools = np.hstack([np.eye(len(ACTIONS))[:, 1:], coupons[:, None]])
        spreads = [0.07 if coupons[place] else 0.2 for place in range(1, len(ACTIONS))]
        self._responses = Responses(base.shape[1], effect.shape[1], pools, 2.0, [*spreads, 0.2], -3.0)
        self._orders: list[tuple[Doubles, Doubles]] = []  # of buyers: what was seen, margin before coupons
        self._coupons: list[tuple[Doubles, Array]] = []  # of buyers with a coupon: what was seen, redeemed
        self._said: tuple[Doubles, Doubles, Doubles, Places]

    def choose(self, seen: Doubles, allowed: Array, plan: float) -> Places:
        """See Policy."""
        base, effect = self._tables(seen)
        margin, redeems = self._margin(seen), self._redemption(seen)
        value, cost = self.worth(self._responses.chances(base, effect), margin, redeems)
        price = priced(*checked(value, cost, allowed), plan, NEAR)[1]
        chances = np.zeros(value.shape)
        for weights in self._responses.draws(self.DRAWS, self._rng):
            drew, paid = self.worth(self._responses.chances(base, effect, weights), margin, redeems)
            chances[np.arange(len(seen)), best(drew, paid, price, allowed)] += 1 / self.DRAWS
        chosen = drawn(floored(chances, allowed, self.FLOOR), self._rng.random(len(seen))).actions
        self._said = seen, base, effect, chosen
        return chosen

    def expected(self, seen: Doubles) -> tuple[Doubles, Doubles]:
        """Value and cost (N, A), as far as is known."""
        chances = self._responses.chances(*self._tables(seen))
        return self.worth(chances, self._margin(seen), self._redemption(seen))

    def hear(self, outcomes: Outcomes) -> None:
        """See Policy."""
        seen, base, effect, chosen = self._said
        self._responses.learn(base, effect, chosen, outcomes.converted)
        bought = outcomes.converted > 0
        self._orders.append((seen[bought], MARGIN_SHARE * outcomes.revenue[bought]))
        used = bought & (COUPON_VALUE[chosen] > 0)
        self._coupons.append((seen[used], outcomes.coupon_cost[used] > 0))

    @staticmethod
    def worth(chances: Doubles, margin: Doubles, redeems: Doubles) -> tuple[Doubles, Doubles]:
        """Value and expected cost (n, A) of chances (n, A); margin of an order and P(redeems | order) (n,)."""
        cost = chances * redeems[:, None] * COUPON_VALUE + CONTACT_COST
        return values(chances - chances[:, [NOTHING]], margin, cost), cost

    def _tables(self, seen: Doubles) -> tuple[Doubles, Doubles]:
        """Base columns with all products of two, and those that effects are a line in."""
        one, rows = np.ones((len(seen), 1)), np.clip(self._standard(seen), -4.0, 4.0)
        tired = seen[:, -2:]  # as they are: on the first morning nobody is
        rows = np.hstack([rows[:, :-2], tired])
        left, right = np.triu_indices(rows.shape[1] - 1)
        told = rows[:, 2:5]  # bought at a discount, opened messages, dismissed them: these wear off
        effect = np.hstack([one, rows[:, :-1], told[:, :1] ** 2, told * tired[:, :1]])
        return np.hstack([one, rows[:, :-1], rows[:, left] * rows[:, right]]), effect

    def _margin(self, seen: Doubles) -> Doubles:
        if not self._orders:
            return np.full(len(seen), 15.0)
        rows, margin = (np.concatenate(part) for part in zip(*self._orders, strict=True))
        return np.maximum(Ridge(10.0).fit(rows, margin).predict(seen), 1.0)

    def _redemption(self, seen: Doubles) -> Doubles:
        rows = np.concatenate([one for one, _ in self._coupons]) if self._coupons else np.zeros((0, 1))
        used = np.concatenate([one for _, one in self._coupons]) if self._coupons else np.zeros(0)
        if min(used.sum(), len(used) - used.sum()) < self.RARE:
            return np.full(len(seen), POINT_COST)
        return Logistic(strength=10.0).fit(rows, used).predict(seen)


class Ranked:
    """One action for shoppers in some order, until the plan is used up by what the action has cost so far."""

    def __init__(self, action: str, seed: int) -> None:
        self._action, self._rng = ACTIONS.index(action), np.random.default_rng((seed, 12))
        self._cost = np.array([0.0, 0.0])  # money, contacts
        self._sent: Array = np.zeros(0, bool)

    def order(self, seen: Doubles) -> Doubles:
        """Who comes first: the largest (N,); -inf never."""
        return self._rng.random(len(seen))

    def choose(self, seen: Doubles, allowed: Array, plan: float) -> Places:
        """See Policy."""
        order = np.where(allowed[:, self._action], self.order(seen), -np.inf)
        guess = POINT_COST * 0.1 * COUPON_VALUE[self._action] + CONTACT_COST[self._action]
        each = (self._cost[0] + 100 * guess) / (self._cost[1] + 100)
        count = min(int(plan / each), int(np.isfinite(order).sum()))
        chosen = np.full(len(seen), NOTHING)
        chosen[np.argsort(-order, kind="stable")[:count]] = self._action
        self._sent = chosen != NOTHING
        return chosen

    def hear(self, outcomes: Outcomes) -> None:
        """See Policy."""
        self._cost += outcomes.spent[self._sent].sum(), self._sent.sum()


class SortedByScore(Ranked):
    """Most likely buyers first, by a model of orders learnt before the first campaign."""

    def __init__(self, action: str, seed: int, model: Logistic) -> None:
        super().__init__(action, seed)
        self._model = model

    def order(self, seen: Doubles) -> Doubles:
        """See Ranked."""
        return self._model.predict(seen)


class AboveThreshold(SortedByScore):
    """Whoever is more likely to buy than `threshold`, in any order."""

    def __init__(self, action: str, seed: int, model: Logistic, threshold: float) -> None:
        super().__init__(action, seed, model)
        self._threshold = threshold

    def order(self, seen: Doubles) -> Doubles:
        """See Ranked."""
        return np.where(self._model.predict(seen) > self._threshold, self._rng.random(len(seen)), -np.inf)


class Random:
    """Any action of those that are allowed, to shoppers in any order, until the plan is used up by what they have cost."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng((seed, 13))
        self._spent, self._count = np.zeros(len(ACTIONS)), np.zeros(len(ACTIONS))
        self._chosen: Places = np.zeros(0, np.int64)

    def choose(self, seen: Doubles, allowed: Array, plan: float) -> Places:
        """See Policy."""
        chosen = drawn(allowed / allowed.sum(axis=1, keepdims=True), self._rng.random(len(seen))).actions
        guess = POINT_COST * 0.1 * COUPON_VALUE + CONTACT_COST
        each = ((self._spent + 100 * guess) / (self._count + 100))[chosen]
        order = self._rng.permutation(len(seen))
        over = order[np.cumsum(each[order]) > plan]
        chosen[over[REACHES[chosen[over]]]] = NOTHING
        self._chosen = chosen
        return chosen

    def hear(self, outcomes: Outcomes) -> None:
        """See Policy."""
        self._spent += np.bincount(self._chosen, outcomes.spent, len(ACTIONS))
        self._count += np.bincount(self._chosen, minlength=len(ACTIONS))
