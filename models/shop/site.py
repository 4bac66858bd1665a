"""The made-up site as time goes by: sessions come, interventions are answered with their true effect, and a book is kept.

    site = Site(3000, seed=0, start=monday_ms)
    events = site.until(moment)                          # all that happened since the last call, in order of time
    site.answer(shoppers, actions, moment, marks)        # what was sent: they react to it, for a day

Whoever is reached orders within the next 24 hours with the chance of the action in place of that of nothing (population.py):
an order more, or one the less where the action annoys. Buyers with a coupon redeem it by chance, also those who would have
bought anyhow. No Kafka here; streams/sim gives it a voice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import numpy as np
import numpy.typing as npt

from models.families.table import Array, Doubles
from models.shop import browsing
from models.shop.browsing import CODE, EVENT, Events
from models.shop.catalogue import Catalogue
from models.shop.panel import NEED, SPREAD, expected, next_need
from models.shop.population import (
    ACTIONS,
    COUPON_VALUE,
    MORE_ORDERS,
    NOTHING,
    REACHES,
    RECOVERY,
    Population,
)

DAY_MS = 86_400_000
WORKS_MS = DAY_MS  # how long an intervention works
SOONEST_MS, LATEST_MS = 300_000, 72_000_000  # from it to a session that it caused
RETURNED = 0.06  # share of orders that come back


@dataclass
class Book:
    """What nobody can know of a real site. conversions and margin are true expectations over doing nothing, summed."""

    answered: int = 0
    conversions: float = 0.0
    margin: float = 0.0  # after coupons and contacts
    by_action: dict[str, float] = field(default_factory=dict)  # margin


class Site:
    """shoppers of `seed` from the midnight `start` (ms) on. Days count from there: day 0 is a Monday to them.

    Raises ValueError for a start that is no midnight.
    """

    def __init__(self, shoppers: int, seed: int, start: int) -> None:
        if start % DAY_MS:
            raise ValueError(f"start {start}: want a midnight, UTC, in ms")
        self.population, self.catalogue = Population.draw(shoppers, seed), Catalogue.draw(shoppers, seed)
        self.book, self.start, self.now = Book(), start, start  # now: event time told up to
        self._rng = np.random.default_rng((seed, 41))
        self._need: Doubles = NEED * self._rng.normal(size=shoppers)
        self._fatigue, self._subscribed = np.zeros(shoppers), np.ones(shoppers, bool)
        self._until = np.zeros(shoppers, np.int64)  # ms, how long the latest intervention of each works
        self._mark = np.full(shoppers, -1)  # its number
        self._loses, self._redeems = (
            np.zeros(shoppers, bool),
            np.zeros(shoppers, bool),
        )  # what it does to orders
        self._discount = np.zeros(shoppers)
        self._pending: Events = np.zeros(0, EVENT)
        self._day, self._sessions = -1, 0

    def __len__(self) -> int:
        return len(self.population)

    def until(self, moment: int) -> Events:
        """Events before `moment` (ms) that were not told yet, by time."""
        self.now, parts = moment, []
        while (midnight := self.start + (self._day + 1) * DAY_MS) < moment:
            parts.append(self._told(midnight))
            self._begin()
        return np.concatenate([*parts, self._told(moment)])

    def _told(self, moment: int) -> Events:
        due = self._pending["time"] < moment
        told, rest = self._pending[due], self._pending[~due]
        self._pending = np.concatenate([rest, self._returned(told)])
        return told[np.argsort(told["time"], kind="stable")]

    def answer(self, shoppers: Array, actions: Array, moment: int, marks: Array) -> npt.NDArray[np.bool_]:
        """What was sent comes to shoppers (n,), each once, at `moment` (ms); marks int (n,) number the interventions.

        Returns who was reached (n,): a coupon or message does not reach who unsubscribed, and nothing is shown while an
        earlier one still works. Raises ValueError for a shopper who is there twice.
        """
        who, act = np.asarray(shoppers, np.int64), np.asarray(actions, np.int64)
        if len(np.unique(who)) < len(who):
            raise ValueError("shoppers: want each once at a moment")
        reached = (self._subscribed[who] | ~REACHES[act]) & (self._until[who] <= moment) & (act != NOTHING)
        who, act = who[reached], act[reached]
        people = self.population.of(who)
        chances = people.chances(max(self._day, 0), self._need[who], self._fatigue[who])
        leaves = people.leaves(self._fatigue[who])
        self._note(people, act, chances, leaves)
        before, effect = chances[:, NOTHING], chances[np.arange(len(who)), act] - chances[:, NOTHING]
        self._until[who], self._mark[who] = moment + WORKS_MS, np.asarray(marks, np.int64)[reached]
        self._loses[who] = self._rng.random(len(who)) * before < -effect
        self._discount[who] = COUPON_VALUE[act]
        self._redeems[who] = (self._rng.random(len(who)) < people.redeems) & (COUPON_VALUE[act] > 0)
        self._fatigue[who] += REACHES[act]
        mine = np.isin(self._pending["shopper"], who)
        moved = who[self._rng.random(len(who)) < effect]
        self._pending = np.concatenate(
            [
                self._pending[~mine],
                self._touched(self._pending[mine]),
                self._touched(self._caused(moved, moment)),
                self._shown(who, moment),
                self._leaving(who[self._rng.random(len(who)) < REACHES[act] * leaves], moment),
            ]
        )
        return cast("npt.NDArray[np.bool_]", reached)

    def _begin(self) -> None:
        """The next day: needs and fatigue move on, and those who come are drawn."""
        self._day += 1
        if self._day:
            self._need, self._fatigue = next_need(self._need, self._rng), RECOVERY * self._fatigue
        chance = self.population.chances(self._day, self._need, self._fatigue)[:, NOTHING]
        buys = self._rng.random(len(self)) < chance
        comes = buys | (self._rng.random(len(self)) < browsing.visits_only(chance))
        who = np.flatnonzero(comes)
        begin = browsing.starts(len(who), self.start + self._day * DAY_MS, self._rng)
        self._pending = np.concatenate([self._pending, self._touched(self._come(who, begin, buys[who]))])

    def _come(self, who: Array, begin: Array, buys: Array) -> Events:
        """Sessions of `who` (n,), of which some buy."""
        size = np.exp(self._rng.normal(-(SPREAD**2) / 2, SPREAD, len(who)))
        orders = 1 + (self._rng.random(len(who)) < MORE_ORDERS)
        revenue = np.where(buys, self.population.basket[who] * size * orders, 0.0)
        self._sessions += len(who)
        first = self._sessions - len(who)
        return browsing.sessions(self.catalogue, who, begin, revenue, first, self._rng)

    def _caused(self, who: Array, moment: int) -> Events:
        """Sessions that buy and would not have been."""
        begin = moment + self._rng.integers(SOONEST_MS, LATEST_MS, len(who))
        return self._come(who, begin, np.ones(len(who), bool))

    def _touched(self, events: Events) -> Events:
        """Events to come, as the interventions that then work change them: orders not made, coupons redeemed."""
        who = events["shopper"]
        works = self._until[who] > events["time"]
        sale = works & np.isin(events["type"], [CODE["purchase"], CODE["checkout_start"]])
        kept = events[~(sale & self._loses[who])]
        who = kept["shopper"]
        used = kept[
            (kept["type"] == CODE["purchase"]) & (self._until[who] > kept["time"]) & self._redeems[who]
        ].copy()
        self._redeems[used["shopper"]] = False  # a coupon is used once
        used = used[np.unique(used["shopper"], return_index=True)[1]]
        used["type"], used["item"], used["time"] = CODE["coupon_redeem"], -1, used["time"] - 1000
        used["intervention"], used["price"] = self._mark[used["shopper"]], self._discount[used["shopper"]]
        return np.concatenate([kept, used])

    def _returned(self, told: Events) -> Events:
        """What comes back, days later, of what was bought."""
        sold = told[told["type"] == CODE["purchase"]]
        back = sold[_chance_of(sold["session"], 1) < RETURNED].copy()
        back["type"] = CODE["return"]
        back["time"] += DAY_MS + (9 * DAY_MS * _chance_of(back["session"], 2)).astype(np.int64)
        return cast(Events, back)

    def _shown(self, who: Array, moment: int) -> Events:
        seen = browsing.plain(
            who, np.full(len(who), -1), np.full(len(who), moment), CODE["intervention_exposed"]
        )
        seen["intervention"] = self._mark[who]
        return seen

    def _leaving(self, who: Array, moment: int) -> Events:
        """Consent is taken back, a minute later."""
        self._subscribed[who] = False
        return browsing.plain(who, np.full(len(who), -1), np.full(len(who), moment + 60_000), CODE["consent"])

    def _note(self, people: Population, act: Array, chances: Array, leaves: Array) -> None:
        """Books what was answered, in true expectations."""
        means, at = expected(people, chances, leaves), (np.arange(len(act)), act)
        gained = means.margin[at] - means.margin[:, NOTHING]
        self.book.answered += len(act)
        self.book.conversions += float((chances[at] - chances[:, NOTHING]).sum())
        self.book.margin += float(gained.sum())
        for place, name in enumerate(ACTIONS):
            if (act == place).any():
                self.book.by_action[name] = self.book.by_action.get(name, 0.0) + float(
                    gained[act == place].sum()
                )


def _chance_of(session: Array, salt: int) -> Doubles:
    """A number of 0 to 1 for each session (n,), however time is cut into calls (Knuth's multiplicative hash)."""
    mixed = (session.astype(np.uint64) * np.uint64(2_654_435_761) + np.uint64(salt * 40_503)) % np.uint64(
        1 << 32
    )
    return np.asarray((mixed * np.uint64(2_246_822_519) % np.uint64(1 << 32)) / 2.0**32)
