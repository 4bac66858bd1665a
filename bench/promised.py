"""What was promised to shoppers, held against what was sent: by other code than that which decides, from the log alone.

Nothing of streams/ is used here but the records that it published. Times are ms of event time.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

HOUR, DAY = 3_600_000, 86_400_000
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Promises:
    """caps: (count, hours, kinds). cooldowns: hours by campaign; kind_cooldowns: hours by kind. quiet: from hour until
    hour, and kinds. budgets: money by campaign and UTC day, with what one costs."""

    salt: str
    holdout: float
    caps: Sequence[tuple[int, float, frozenset[str]]]
    cooldowns: Mapping[str, float]
    kind_cooldowns: Mapping[str, float]
    quiet: tuple[int, int, frozenset[str]]
    budgets: Mapping[str, tuple[float, float]]


@dataclass
class Told:
    """What shoppers said and where they are, as the site sent it: words (time, channel, granted) in order of time."""

    words: dict[str, list[tuple[int, str, bool]]] = field(default_factory=lambda: defaultdict(list))
    zones: dict[str, str] = field(default_factory=dict)


def broken(promises: Promises, told: Told, interventions: Iterable[Row]) -> Counter[str]:
    """How often each promise was broken; all of them, with 0 where none was."""
    found = Counter(
        dict.fromkeys(("cap", "cooldown", "quiet hours", "consent", "hold-out", "budget", "sent twice"), 0)
    )
    by_user: dict[str, list[Row]] = defaultdict(list)
    ids: Counter[str] = Counter()
    for row in interventions:
        by_user[row["user_id"]].append(row)
        ids[row["intervention_id"]] += 1
    found["sent twice"] = sum(count - 1 for count in ids.values())
    for user, rows in by_user.items():
        rows.sort(key=out)
        found["hold-out"] += len(rows) * held_out(user, promises)
        found["cap"] += sum(_over(rows, *cap) for cap in promises.caps)
        found["cooldown"] += sum(
            _closer([row for row in rows if row["campaign"] == name], hours)
            for name, hours in promises.cooldowns.items()
        )
        found["cooldown"] += sum(
            _closer([row for row in rows if row["kind"] == kind], hours)
            for kind, hours in promises.kind_cooldowns.items()
        )
        zone = told.zones.get(user, "UTC")
        found["quiet hours"] += sum(_quiet(row, zone, promises) for row in rows)
        found["consent"] += sum(not _allowed(row, told.words.get(user, [])) for row in rows)
    found["budget"] = sum(
        1
        for (campaign, _), count in spent(promises, by_user).items()
        if count * promises.budgets[campaign][1] > promises.budgets[campaign][0] + 1e-6
    )
    return found


def spent(promises: Promises, by_user: Mapping[str, Sequence[Row]]) -> Counter[tuple[str, int]]:
    """Interventions of the campaigns with a budget, by campaign and the day of their event: it pays."""
    days: Counter[tuple[str, int]] = Counter()
    for rows in by_user.values():
        for row in rows:
            if row["campaign"] in promises.budgets:
                days[row["campaign"], row["event_time"] // DAY] += 1
    return days


def out(row: Row) -> int:
    """When it reaches the shopper, ms."""
    return int(row["push"]["send_after"] if row["push"] else row["event_time"])


def held_out(user: str, promises: Promises) -> bool:
    """Whether the documented hash says that the shopper gets nothing."""
    digest = hashlib.sha256(f"{promises.salt}:{user}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < promises.holdout * 2**64


def _over(rows: Sequence[Row], count: int, hours: float, kinds: frozenset[str]) -> int:
    times = [out(row) for row in rows if row["kind"] in kinds]
    return sum(times[at + count] - times[at] < hours * HOUR for at in range(len(times) - count))


def _closer(rows: Sequence[Row], hours: float) -> int:
    return _over(rows, 1, hours, frozenset(row["kind"] for row in rows))


def _quiet(row: Row, zone: str, promises: Promises) -> bool:
    begin, end, kinds = promises.quiet
    if row["kind"] not in kinds:
        return False
    hour = datetime.fromtimestamp(out(row) / 1000, UTC).astimezone(ZoneInfo(zone)).hour
    return hour >= begin or hour < end


def _allowed(row: Row, words: Sequence[tuple[int, str, bool]]) -> bool:
    """By the last word on its kind, or on all, up to the moment that it goes out; without one it may."""
    before = words[: bisect_right(words, out(row), key=lambda word: word[0])]
    return next(
        (granted for _, channel, granted in reversed(before) if channel in (row["kind"], "all")), True
    )
