"""What campaigns have spent: a book per campaign and day for each partition, which has an equal share of the budget.

A share is spent by nobody else, and what is spent commits with the decision that spends it. So money is never spent
twice, whatever crashes or moves, and all partitions together never spend more than the budget. What they leave is less
than one intervention each, and what their shoppers gave no occasion for. A message that waits has been paid; what calls it
back pays back.

Within the day a share is paced (models/pacing.py) by how the day before went: when candidates came, how many, at what
price. Money counts as cost_per_contact. Books of three days are kept: a later event finds its day closed.
"""

from __future__ import annotations

import copy
import json
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.pacing import EVEN, Pacer
from streams.local_time import local, zone_of
from streams.policy import Campaign

KEY = b"\x00budgets"  # in contacts-changelog and in the store; no user_id starts with a zero byte
DAYS = 3  # that are kept
ENOUGH = 200  # candidates of a day, for the next one to be planned by it
SAMPLE = 1024  # latest candidates that a price is found on
_HAIR = 1 + 1e-9  # sums of cents


@dataclass(slots=True)
class Book:
    """One campaign's day in one partition. hours: candidates that came, by hour of the day."""

    money: float = 0.0
    count: int = 0
    hours: list[int] = field(default_factory=lambda: [0] * 24)
    pacer: Pacer | None = None
    of_money: bool = True  # what the pacer counts; else interventions

    def copied(self) -> Book:
        """Apart from this one."""
        return Book(self.money, self.count, [*self.hours], copy.copy(self.pacer), self.of_money)


@dataclass(frozen=True, slots=True)
class Quote:
    """What a budget says to one candidate. reason: '' when it holds; book: the day's after it, None where it is closed."""

    reason: str
    day: str
    book: Book | None


@dataclass(frozen=True, slots=True)
class Share:
    """A partition's part of a budget in a day: money, inf for no limit, and interventions."""

    money: float
    count: float

    @property
    def of_money(self) -> bool:
        """What is spent evenly: money where it is limited, else interventions."""
        return math.isfinite(self.money)

    @property
    def paced(self) -> float:
        """How much of it."""
        return self.money if self.of_money else self.count

    def cost(self, money: float) -> float:
        """Of one intervention, in what is paced."""
        return money if self.of_money else 1.0

    def holds(self, book: Book, money: float) -> bool:
        """Whether one more intervention is within it."""
        return book.money + money <= self.money * _HAIR and book.count + 1 <= self.count


class Budgets:
    """The books of one partition, of `partitions`. stored: what `end` gave last."""

    def __init__(self, stored: bytes | None = None, partition: int = 0, partitions: int = 1) -> None:
        self._partition, self._partitions = partition, partitions
        self._books = {} if stored is None else _decoded(stored)  # by campaign, then day
        self._before: dict[str, dict[str, Book]] = {}  # of the campaigns that this batch changed

    def quote(self, campaign: Campaign, value: float, time: int, zone: str) -> Quote:
        """What the campaign's budget says; value: expected of acting, money; time: ms; zone: whose days count.

        The reason is 'budget' when the day's share does not hold one more, 'pacing' when it is wanted for better ones or
        for later. Nothing counts before it is kept.
        """
        clock = local(time, zone_of(zone))
        day, days = clock.date().isoformat(), self._books.get(campaign.id, {})
        if day not in days and len(days) == DAYS and day < min(days):
            return Quote("budget", day, None)
        book = days[day].copied() if day in days else Book()
        book.hours[clock.hour] += 1
        share, cost = self.share(campaign), campaign.value.cost_per_contact
        reason = "" if share.holds(book, cost) else "budget"
        if campaign.budget is not None and campaign.budget.pacing == "even":
            before = max((one for one in days if one < day), default="")
            book.pacer = _pacer(book, share, days.get(before))
            book.of_money = share.of_money
            passed = (clock.hour * 3600 + clock.minute * 60 + clock.second) / 86_400
            worth, paid = np.array([[0.0, value]]), np.array([[0.0, share.cost(cost)]])
            if not book.pacer.choose(worth, paid, passed)[0]:
                reason = reason or "pacing"
        if not reason:
            book.money += cost
            book.count += 1
        return Quote(reason, day, book)

    def keep(self, campaign: Campaign, quote: Quote) -> None:
        """It counts: what it spends, and that a candidate came."""
        if quote.book is not None:
            self._put(campaign.id, quote.day, quote.book)

    def refund(self, campaign: str, day: str, money: float) -> None:
        """An intervention that was paid so on that day is not sent after all."""
        found = self._books.get(campaign, {}).get(day)
        if found is None:
            return  # closed
        book = found.copied()
        book.money, book.count = max(0.0, book.money - money), max(0, book.count - 1)
        if book.pacer is not None:
            book.pacer.correct(-min(book.pacer.spent, money if book.of_money else 1.0))
        self._put(campaign, day, book)

    def spending(self) -> dict[str, dict[str, Book]]:
        """As it stands now, for `back_to`."""
        return dict(self._books)

    def back_to(self, spending: dict[str, dict[str, Book]]) -> None:
        """As it stood then, in this batch."""
        self._books = spending

    def share(self, campaign: Campaign) -> Share:
        """This partition's part; interventions that cannot be shared out evenly go to the first partitions."""
        budget = campaign.budget
        if budget is None:
            return Share(math.inf, math.inf)
        money = math.inf if budget.money is None else budget.money / self._partitions
        if budget.count is None:
            return Share(money, math.inf)
        each, rest = divmod(budget.count, self._partitions)
        return Share(money, each + (self._partition < rest))

    def spent(self) -> dict[str, dict[str, tuple[float, int]]]:
        """(money, interventions) by campaign and day."""
        return {
            name: {day: (book.money, book.count) for day, book in days.items()}
            for name, days in self._books.items()
        }

    def end(self) -> dict[bytes, bytes | None]:
        """The batch is over: the record of all books when it changed one, by key, for contacts-changelog and the store."""
        changed, self._before = bool(self._before), {}
        return {KEY: _encoded(self._books)} if changed else {}

    def discard(self) -> None:
        """Forget what this batch changed."""
        self._books.update(self._before)
        self._before = {}

    def _put(self, campaign: str, day: str, book: Book) -> None:
        days = self._books.get(campaign, {})
        self._before.setdefault(campaign, days)
        newest = sorted({*days, day})[-DAYS:]
        self._books[campaign] = {one: book if one == day else days[one] for one in newest}


def _pacer(book: Book, share: Share, before: Book | None) -> Pacer:
    """The day's pacer, begun by what is known of the day before, or anew when the policy has changed the budget."""
    same = book.of_money == share.of_money
    if book.pacer is not None and same and book.pacer.budget == share.paced:
        return book.pacer
    price, seen, curve, forecast = 0.0, 0, EVEN, None
    if before is not None and sum(before.hours) >= ENOUGH:
        curve = (0.0, *(np.cumsum(before.hours) / sum(before.hours)).tolist())
        forecast = float(sum(before.hours))
        price = before.pacer.price if before.pacer and before.of_money == share.of_money else 0.0
    if book.pacer is not None:
        price, seen = book.pacer.price if same else 0.0, book.pacer.seen
    spent = book.money if share.of_money else float(book.count)
    return Pacer(
        share.paced, curve=curve, sample=SAMPLE, forecast=forecast, price=price, spent=spent, seen=seen
    )


def _encoded(books: dict[str, dict[str, Book]]) -> bytes:
    rows = {name: {day: _row(book) for day, book in days.items()} for name, days in books.items()}
    return json.dumps(rows, separators=(",", ":")).encode()


def _row(book: Book) -> dict[str, Any]:
    pacer = None if book.pacer is None else book.pacer.dumped()
    return {
        "money": book.money,
        "count": book.count,
        "hours": book.hours,
        "pacer": pacer,
        "of_money": book.of_money,
    }


def _decoded(value: bytes) -> dict[str, dict[str, Book]]:
    rows: dict[str, dict[str, dict[str, Any]]] = json.loads(value)
    return {name: {day: _book(row) for day, row in days.items()} for name, days in rows.items()}


def _book(row: dict[str, Any]) -> Book:
    pacer = None if row["pacer"] is None else Pacer.loaded(row["pacer"])
    return Book(row["money"], row["count"], row["hours"], pacer, row["of_money"])
