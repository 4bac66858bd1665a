"""Shoppers as they are, and as a site sees them.

The chance that shopper i orders on day t under action a:

    p = sigmoid(intent_i + rhythm_i(t) + season(t) + need_i(t) + freshness · gain_i(a) - irritation)

gain: of a coupon, sensitivity · (1 - exp(-value / 5)); of a push, openness, of either sign; of a re-ranked list, guidance,
of either sign. What reaches a shopper (coupon, push) wears off with fatigue, freshness = exp(-WEAR · fatigue), and irritates
more with it, annoyance · (1 + fatigue). Sure things, lost causes, persuadables and sleeping dogs are no classes of their own:
they come out of where a shopper stands on the sigmoid and of the sign of gain less irritation. All of it is made up.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import numpy.typing as npt

from models.families.table import Array, Doubles, sigmoid

ACTIONS = ("nothing", "coupon_2", "coupon_5", "coupon_10", "push", "rerank")
NOTHING, PUSH, RERANK = (ACTIONS.index(name) for name in ("nothing", "push", "rerank"))
COUPON_VALUE = np.array([0.0, 2.0, 5.0, 10.0, 0.0, 0.0])  # money off, by action
CONTACT_COST = np.array([0.0, 0.02, 0.02, 0.02, 0.02, 0.0])  # of sending, by action
REACHES = np.array([False, True, True, True, True, False])  # needs a subscriber, tires and irritates
MARGIN_SHARE = 0.4  # of revenue, before coupons
MORE_ORDERS = 0.08  # expected further orders of a day that has one
WEAR = 0.6  # of a response, by each recent contact
RECOVERY = 0.8  # of fatigue, from a day to the next
YEAR = 365.0
SEASON = 0.3  # amplitude over the year, log-odds
KINDS = ("sure_thing", "lost_cause", "persuadable", "sleeping_dog")


@dataclass(frozen=True)
class Population:
    """Latents, one number a shopper (N,). Nothing that decides may look at them."""

    intent: Doubles  # log-odds of an order on a usual day
    sensitivity: Doubles  # to price: log-odds a very large coupon adds
    openness: Doubles  # log-odds a push adds, below 0 too
    guidance: Doubles  # log-odds a re-ranked list adds, below 0 for who searches
    annoyance: Doubles  # log-odds any contact takes away, 0 or more
    redeems: Doubles  # chance that a buyer who has a coupon uses it
    basket: Doubles  # expected revenue of an order, money
    swing: Doubles  # amplitude of the week, log-odds
    weekday: Doubles  # on which the shopper likes best to buy, 0 … 7

    @classmethod
    def draw(cls, count: int, seed: int) -> Self:
        """`count` shoppers; one seed gives the same ones. Raises ValueError for a count below 1."""
        if count < 1:
            raise ValueError(f"shoppers: {count}; draw one at least")
        rng = np.random.default_rng((seed, 1))
        sensitivity = 1.8 * rng.gamma(0.8, 1.0, count)
        intent = rng.normal(-4.3, 1.3, count)
        openness = rng.normal(0.25, 0.5, count)
        annoyance = 0.3 * rng.gamma(0.7, 1.0, count) * np.exp(-0.6 * openness)
        return cls(
            intent=intent,
            sensitivity=sensitivity,
            openness=openness,
            guidance=rng.normal(0.03, 0.18, count),
            annoyance=annoyance,
            redeems=sigmoid(-0.2 + 0.9 * sensitivity),
            basket=38.0 * np.exp(rng.normal(0.0, 0.45, count)),
            swing=rng.uniform(0.1, 0.8, count),
            weekday=rng.normal(5.5, 1.2, count) % 7.0,
        )

    def __len__(self) -> int:
        return len(self.intent)

    def of(self, rows: Array) -> Self:
        """Some of them, in the order of `rows`."""
        return type(self)(*(getattr(self, one.name)[rows] for one in fields(self)))

    def usual(self, day: int | Array) -> Doubles:
        """Log-odds of an order on day `day`, without what the shopper needs just then (N,); of days (T,), (N, T)."""
        days = np.asarray(day, float)
        at = (slice(None), *[None] * days.ndim)
        week = self.swing[at] * np.cos(2 * np.pi * (days - self.weekday[at]) / 7.0)
        return np.asarray(self.intent[at] + week + season(days))

    def gains(self, fatigue: Array) -> Doubles:
        """Log-odds that each action adds (N, A), to shoppers as tired as `fatigue` (N,) of earlier contacts."""
        gain = self.sensitivity[:, None] * -np.expm1(-COUPON_VALUE / 5.0)
        gain[:, PUSH] = self.openness
        gain = np.exp(-WEAR * fatigue)[:, None] * gain
        gain -= REACHES * (self.annoyance * (1.0 + fatigue))[:, None]
        gain[:, RERANK] = self.guidance
        return np.asarray(gain)

    def chances(self, day: int, need: Array, fatigue: Array) -> Doubles:
        """P(an order today) under each action (N, A)."""
        return sigmoid((self.usual(day) + need)[:, None] + self.gains(fatigue))

    def leaves(self, fatigue: Array) -> Doubles:
        """P(unsubscribes), if reached today (N,)."""
        return sigmoid(-6.5 + 2.0 * np.minimum(self.annoyance, 1.0) + 1.2 * fatigue)

    def kinds(self, action: int, slight: float = 0.004, likely: float = 0.04) -> npt.NDArray[np.int64]:
        """Index in KINDS (N,) of each shopper, asked about `action` on a Saturday, when not tired.

        slight: difference in the chance of an order that counts as none. likely: who orders with so much chance anyhow.
        """
        rest = np.zeros(len(self))
        chances = self.chances(5, rest, rest)
        effect = chances[:, action] - chances[:, NOTHING]
        found = np.where(chances[:, NOTHING] >= likely, 0, 1)
        found = np.where(effect > slight, 2, found)
        return np.asarray(np.where(effect < -slight, 3, found), np.int64)


def season(days: Array) -> Doubles:
    """Log-odds that the time of the year adds; day 0 is a Monday in spring, when nothing does."""
    return np.asarray(SEASON * np.sin(2 * np.pi * days / YEAR))


class Seen:
    """What a site knows of each shopper from the time before, out of counts: informative and noisy. Shares are log-odds."""

    NAMES = ("orders", "basket", "discounted", "opened", "dismissed", "searched")

    def __init__(self, population: Population, seed: int, orders: Array, spend: Array) -> None:
        """orders, spend: (N,), of the period before."""
        rng = np.random.default_rng((seed, 2))
        count = len(population)
        shares = (  # of things looked at, of messages twice, of visits
            _log_odds(rng, 120, 1.2 * (population.sensitivity - 1.4)),
            _log_odds(rng, 120, -0.3 + 1.8 * population.openness),
            _log_odds(rng, 120, -2.2 + 3.0 * np.minimum(population.annoyance, 1.0)),
            _log_odds(rng, 240, -4.0 * population.guidance),
        )
        looked = 38.0 * np.exp(
            np.log(population.basket / 38.0) + rng.normal(0, 0.3, count)
        )  # prices looked at
        basket = (6.0 * looked + spend) / (6.0 + orders)
        self.table: Doubles = np.column_stack([np.log1p(orders), np.log(basket), *shares])  # (N, 6)
        self._population = population

    def today(self, day: int, need: Array, fatigue: Array, rng: np.random.Generator) -> Doubles:
        """What can be seen of the day (N, 4): pages looked at, the shopper's weekday, contacts of late, the same squared."""
        pages = rng.poisson(np.exp(1.0 + 0.8 * need))
        usual = self._population.usual(day) - self._population.intent - season(np.asarray(day))
        weekday = usual + rng.normal(0, 0.2, len(need))  # earlier orders by weekday tell it about so well
        return np.column_stack([np.log1p(pages), weekday, fatigue, fatigue**2])

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Of all columns."""
        return (*cls.NAMES, "pages", "weekday", "contacts", "contacts_squared")


def _log_odds(rng: np.random.Generator, count: int, truth: Array) -> Doubles:
    """Of a share that was seen in `count` draws, of true log-odds (N,)."""
    yes = rng.binomial(count, sigmoid(truth))
    return np.asarray(np.log((yes + 0.5) / (count - yes + 0.5)))
