"""Time as a shopper's clock shows it: zones by IANA name, hours of the day, and when a stretch of them is over.

Days on which clocks change are right: what is asked is what the clock on the wall says. In spring an end that no
clock shows (02:30) is taken as the moment after the gap; in autumn an hour comes twice and is quiet twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 24 * 60
_MINUTE_MS = 60_000
_TRIES = 32  # stretches that follow upon each other without a pause, before we say that they never end


@lru_cache(1024)
def zone_of(name: str) -> ZoneInfo:
    """The zone of an IANA name. Raises ValueError when there is none."""
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        raise ValueError(
            f"{name!r} is no time zone; write an IANA name such as Europe/Berlin, or UTC"
        ) from None


def known_zone(name: str) -> bool:
    """Whether there is a zone of this IANA name."""
    try:
        zone_of(name)
    except ValueError:
        return False
    return True


def minute_of_day(text: str) -> int:
    """Minutes since midnight of "HH:MM", up to "24:00". Raises ValueError."""
    found = re.fullmatch(r"(\d\d):([0-5]\d)", text)
    minutes = int(found[1]) * 60 + int(found[2]) if found else -1
    if not 0 <= minutes <= DAY_MINUTES:
        raise ValueError(f"{text!r} is no time of day; write HH:MM")
    return minutes


def local(time: int, zone: ZoneInfo) -> datetime:
    """The moment `time` (ms since 1970 UTC), as the zone's clocks show it."""
    return datetime.fromtimestamp(time // 1000, UTC).astimezone(zone)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of the day, minutes since midnight, start included and end not; days: those on which it begins."""

    start: int
    end: int
    days: frozenset[int]  # 0 is Monday

    def end_at(self, clock: datetime) -> datetime | None:
        """When it is over (no zone, as the clock shows it), if the clock is within it; else None."""
        minute, weekday = clock.hour * 60 + clock.minute, clock.weekday()
        if self.start < self.end:
            if weekday in self.days and self.start <= minute < self.end:
                return _midnight(clock) + timedelta(minutes=self.end)
        elif weekday in self.days and minute >= self.start:
            return _midnight(clock) + timedelta(days=1, minutes=self.end)
        elif (weekday - 1) % 7 in self.days and minute < self.end:
            return _midnight(clock) + timedelta(minutes=self.end)
        return None


def within(stretches: tuple[Stretch, ...], time: int, zone: ZoneInfo) -> bool:
    """Whether the moment `time`, ms, lies in one of the stretches."""
    clock = local(time, zone)
    return any(stretch.end_at(clock) is not None for stretch in stretches)


def first_outside(stretches: tuple[Stretch, ...], time: int, zone: ZoneInfo) -> int | None:
    """The first moment, ms, from `time` on that lies in none of the stretches; None when they never pause."""
    for _ in range(_TRIES):
        clock = local(time, zone)
        ends = [end for stretch in stretches if (end := stretch.end_at(clock)) is not None]
        if not ends:
            return time
        time = _moment_after(time, max(ends), zone)
    return None


def _moment_after(time: int, end: datetime, zone: ZoneInfo) -> int:
    """The first moment after `time` at which clocks show `end`: of two, in autumn, the second if the first is past."""
    for fold in (0, 1):
        found = int(end.replace(tzinfo=zone, fold=fold).timestamp()) * 1000
        if found > time:
            return found
    return time - time % _MINUTE_MS + _MINUTE_MS  # clocks went back over the end: look again in a minute


def _midnight(clock: datetime) -> datetime:
    return datetime(clock.year, clock.month, clock.day)
