"""What the tests of deciding share: a policy with all kinds, scored batches made of a few words, a book in memory."""

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from models.context import CONTEXT
from models.events import DEVICES, EVENT_TYPES
from schemas.codec import Codec
from schemas.registry import FileRegistry
from streams.budgets import KEY, Budgets
from streams.choosing import Deciding
from streams.contacts import ZONE, ContactBook, Said
from streams.decide import CompiledPolicy, Decision, Scored, decide, ring
from streams.policy import Policy
from streams.timers import Timers

TASKS = ("buy_3d", "buy_7d", "buy_30d", "lapse_30d")
HOUR = 3_600_000  # ms
DAY = 24 * HOUR
NOON = 1_509_710_400_000  # 2017-11-03 12:00 UTC
CATEGORIES = ("SOFT DRINKS", "BEEF", "CHEESE", "SOUP", "BAG SNACKS", "(other)")
POPULAR = {"SOFT DRINKS": ("cola", "lemonade"), "BEEF": ("steak", "mince"), "CHEESE": ("brie",)}

DOCUMENT: dict[str, Any] = {
    "name": "default",
    "holdout": {"salt": "s", "share": 0.0},
    "consent": {"coupon": "opt_out", "push": "opt_out", "rerank": "opt_out"},
    "frequency_caps": [
        {"count": 1, "hours": 48, "kinds": ["coupon"]},
        {"count": 2, "hours": 72, "kinds": ["coupon", "push"]},
    ],
    "campaigns": [
        {
            "id": "winback",
            "kind": "coupon",
            "trigger": {"event_types": ["purchase"], "score": "lapse_30d", "at_least": 0.3},
            "value": {"margin_per_conversion": 20, "lift": 0.1, "cost_per_contact": 0.5, "minimum": 0.2},
            "cooldown_hours": 100,
            "priority": 30,
            "payload": {"value": 2.0, "minimum_spend": 10, "expires_hours": 24},
        },
        {
            "id": "reminder",
            "kind": "push",
            "trigger": {"event_types": ["purchase", "click"], "score": "buy_7d", "at_most": 0.4},
            "value": {"margin_per_conversion": 10, "lift": 0.1, "cost_per_contact": 0.01},
            "cooldown_hours": 24,
            "priority": 20,
            "payload": {
                "template": "reminder",
                "variables": {"category": "{next_category}", "since": "{event_date}"},
                "send_after_minutes": 90,
                "expires_hours": 48,
            },
        },
        {
            "id": "list",
            "kind": "rerank",
            "trigger": {"event_types": ["click"], "score": "buy_3d", "at_least": 0.2, "at_most": 0.8},
            "value": {"margin_per_conversion": 10, "lift": 0.1, "cost_per_contact": 0},
            "cooldown_hours": 0,
            "priority": 20,
            "payload": {"size": 3, "top_categories": 2, "expires_minutes": 30},
        },
    ],
}


@dataclass(frozen=True)
class Event:
    """One event of a test: who, what, when (hours after NOON), and the scores."""

    user: str = "u"
    kind: str = "purchase"
    hour: float = 0.0
    lapse_30d: float = 0.0
    buy_7d: float = 1.0
    buy_3d: float = 1.0
    consent: tuple[str, bool] | None = None
    id: str = ""
    category: str | None = None
    device: str = "unknown"
    properties: tuple[tuple[str, str], ...] = ()
    events: int = 0  # earlier ones
    sessions: int = 0
    bought: float | None = None  # hours after NOON: the latest purchase before
    latest: float | None = None  # hours after NOON: the newest event before
    first: float | None = None  # hours after NOON: the first event


def document(**changes: Any) -> dict[str, Any]:
    """A copy of DOCUMENT with some of its parts exchanged."""
    return {**copy.deepcopy(DOCUMENT), **changes}


def compiled(source: dict[str, Any] | None = None) -> CompiledPolicy:
    """The policy of a document, compiled for TASKS."""
    return CompiledPolicy(Policy.model_validate(source or DOCUMENT), TASKS)


def scored(events: Iterable[Event]) -> Scored:
    """The batch of these events. Next categories: SOFT DRINKS .5, BEEF .3, CHEESE .1, SOUP .05, BAG SNACKS .02."""
    events = list(events)
    scores = [(e.buy_3d, e.buy_7d, 1.0, e.lapse_30d) for e in events]
    ids = [e.id or f"e{at}" for at, e in enumerate(events)]
    return Scored(
        user_ids=[e.user for e in events],
        event_ids=ids,
        prediction_ids=[f"p-{name}" for name in ids],
        event_type=np.array([EVENT_TYPES.index(e.kind) for e in events], np.uint8),
        event_time=np.array([NOON + round(e.hour * HOUR) for e in events], np.int64),
        tasks=TASKS,
        scores=np.array(scores, np.float32).reshape(-1, len(TASKS)),
        top=np.tile(np.arange(5, dtype=np.int32), (len(events), 1)),
        top_scores=np.tile(np.array([0.5, 0.3, 0.1, 0.05, 0.02], np.float32), (len(events), 1)),
        categories=CATEGORIES,
        popular=POPULAR,
        release="r1",
        category_ids=[e.category for e in events],
        device=np.array([DEVICES.index(e.device) for e in events], np.uint8),
        properties=[e.properties for e in events],
        context=_contexts(events),
        said=[word for at, e in enumerate(events) for word in _said(at, e)],
    )


def _contexts(events: list[Event]) -> Any:
    rows = np.zeros(len(events), CONTEXT)
    for row, event in zip(rows, events, strict=True):
        row["events"], row["sessions"] = event.events, event.sessions
        row["purchase_time"] = 0 if event.bought is None else NOON + round(event.bought * HOUR)
        row["first_time"] = 0 if event.first is None else NOON + round(event.first * HOUR)
        row["previous_time"] = 0 if event.latest is None else NOON + round(event.latest * HOUR)
    return rows


def _said(at: int, event: Event) -> list[Said]:
    said = [Said(at, event.user, *event.consent)] if event.consent else []
    return said + [Said(at, event.user, ZONE, True, word) for name, word in event.properties if name == ZONE]


@cache
def codec(name: str) -> Codec:
    """The real codec over the file registry."""
    return Codec(FileRegistry(), name)


class Stored:
    """A store in memory behind a book, written at a commit as the partition's RocksDB is."""

    def __init__(self, capacity: int = 65536, partition: int = 0, partitions: int = 1) -> None:
        self.values: dict[str, bytes] = {}
        self.timers: dict[bytes, bytes] = {}  # and the budgets
        self.share = partition, partitions
        self.reads: list[list[str]] = []
        self.capacity = capacity
        self.reopen()

    def reopen(self) -> None:
        """As after a crash: what was not committed is gone, the rest is read again."""
        waiting = [(key, value) for key, value in self.timers.items() if key != KEY]
        budgets = Budgets(self.timers.get(KEY), *self.share)
        self.book = ContactBook(codec("contact"), self._load, self.capacity, Timers(waiting), budgets)

    def commit(self) -> None:
        """The transaction stands."""
        changes = self.book.end()
        for (user, _), value in zip(changes, self.book.encode(changes), strict=True):
            self.values[user] = value
        for key, timers in {**self.book.timers.end(), **self.book.budgets.end()}.items():
            if timers is None:
                self.timers.pop(key, None)
            else:
                self.timers[key] = timers
        self.book.settle(changes)

    def _load(self, users: list[str]) -> list[bytes | None]:
        self.reads.append(users)
        return [self.values.get(user) for user in users]


def run(
    events: Iterable[Event],
    policy: CompiledPolicy | None = None,
    stored: Stored | None = None,
    now: int | None = None,
) -> list[Decision]:
    """Decisions of one batch, committed."""
    stored = stored or Stored()
    decisions = decide(scored(events), stored.book, policy or compiled(), decided_at=NOON, now=now)
    stored.commit()
    return decisions


def passed(stored: Stored, hour: float, policy: CompiledPolicy | None = None) -> list[Decision]:
    """Decisions of the timers that ring when no event comes until `hour` after NOON, committed."""
    deciding = Deciding(stored.book, policy or compiled(), NOON)
    decisions = list(ring(deciding, NOON + round(hour * HOUR), None))
    stored.commit()
    return decisions


def sent(events: Iterable[Event], policy: CompiledPolicy | None = None, days: float = 30) -> list[Decision]:
    """Decisions of one batch after which no event comes for so long; without those that only wait."""
    stored = Stored()
    decisions = [*run(events, policy, stored), *passed(stored, 24 * days, policy)]
    return [decision for decision in decisions if decision.reason != "deferred"]


def reasons(decisions: Iterable[Decision]) -> list[tuple[str, str]]:
    """(campaign, reason) of each."""
    return [(decision.campaign, decision.reason) for decision in decisions]
