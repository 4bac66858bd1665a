"""How far a partition is: what /health, `status` and the log tell of it while it opens, redoes and goes live."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import Any

log = logging.getLogger("intentflow.partition")
TELL_S = 5.0  # between two lines in the log


@dataclass(slots=True)
class Progress:
    """state: opening, redo, live or closed. Offsets are next ones: the first that is not done."""

    state: str = "opening"
    read: int = 0  # changelog offsets read while opening
    to_read: int = 0  # changelog offsets to read in all
    begin: int = 0  # redo began here
    live_from: int = 0  # below it events only build state
    applied: int = 0  # next source offset to apply
    since: float = field(default_factory=time.monotonic)  # when this state began
    _told: float = 0.0

    def reading(self, read: int, to_read: int) -> None:
        """While opening: changelog offsets read of those to read."""
        self.read, self.to_read = read, to_read

    def opened(self, begin: int, live_from: int) -> None:
        self.begin, self.applied, self.live_from = begin, begin, live_from
        self.state, self.since = "redo" if begin < live_from else "live", time.monotonic()

    def applied_to(self, offset: int) -> None:
        """Everything below `offset` is applied, and published where it has to be."""
        self.applied = max(self.applied, offset)
        if self.state == "redo" and self.applied >= self.live_from:
            self.state, self.since = "live", time.monotonic()

    def passed(self, fetched: int) -> None:
        """Nothing waits and the consumer stands at `fetched`: between are no events, only markers of transactions."""
        if self.state == "redo" and fetched >= self.live_from:
            self.applied_to(self.live_from)

    @property
    def position(self) -> int:
        """Next source offset to commit."""
        return max(self.applied, self.live_from)

    def seconds_left(self, now: float) -> float | None:
        """Until this state is over, at the rate so far; None when nothing can be said yet."""
        done, goal = (self.read, self.to_read) if self.state == "opening" else (self._redone, self._redo)
        if self.state not in ("opening", "redo") or not done:
            return None
        return (goal - done) * (now - self.since) / done

    @property
    def _redone(self) -> int:
        return self.applied - self.begin

    @property
    def _redo(self) -> int:
        return self.live_from - self.begin

    def page(self) -> dict[str, Any]:
        """For /health."""
        page: dict[str, Any] = {"state": self.state, "position": self.position}
        if self.state == "opening":
            page |= {"changelog_read": self.read, "changelog_to_read": self.to_read}
        if self.state == "redo":
            page |= {"redone": self._redone, "to_redo": self._redo}
        left = self.seconds_left(time.monotonic())
        return page if left is None else page | {"seconds_left": round(left, 1)}

    def tell(self, partition: int) -> None:
        """A line in the log, every few seconds, of a partition that is not live yet."""
        now = time.monotonic()
        if now - max(self._told, self.since) < TELL_S:
            return
        self._told = now
        what = "changelog offsets read" if self.state == "opening" else "events redone"
        done, goal = (self.read, self.to_read) if self.state == "opening" else (self._redone, self._redo)
        left = self.seconds_left(now)
        ready = "" if left is None else f", about {left:.0f} s left"
        log.warning("partition %d: %s of %s %s%s", partition, f"{done:,}", f"{goal:,}", what, ready)
