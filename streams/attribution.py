"""Joins decisions and events, whatever order they come in: the shoppers of one partition, and whose window closes next.

    decisions ──► claims     (a window each)      ┐
    events ─────► deeds      (purchases, returns, ├─► outcome of each claim (claims.py): told when its window closes,
                  redemptions, exposures,         │   and told again, as a higher revision, when it changes
                  withdrawals of consent)         ┘

All by event time, and nothing here knows of Kafka: `outcomes.py` feeds it.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from streams.claims import LEARNT_FROM, Deed, Shopper, claim_of, outcome_of, published_of

FOREVER = 1 << 62  # ms


class Refused(NamedTuple):
    """A deed that named an intervention which the shopper never got."""

    user: str
    deed: Deed
    reason: str


class Attribution:
    """The shoppers of one partition.

    late: ms of event time after a window's end for which what comes late still changes its outcome.
    known: ms for which an intervention is known again. Neither input needs to be ahead of the other.
    """

    def __init__(self, late: int, known: int) -> None:
        self._late, self._known = late, known
        self._shoppers: dict[str, Shopper] = {}
        self._wakes: list[tuple[int, str]] = []  # heap
        self._wake: dict[str, int] = {}  # the entry of the heap that counts
        self._looked: dict[str, None] = {}  # at what is to be looked in this step
        self._changed: dict[str, None] = {}
        self._now = 0
        self.unresolved: dict[
            tuple[str, str], Deed
        ] = {}  # by user and event: what they name was not seen published

    def __len__(self) -> int:
        return len(self._shoppers)

    def restore(self, user: str, shopper: Shopper) -> None:
        """Put back what a changelog has of one."""
        self._shoppers[user] = shopper
        for deed in shopper.deeds.values():
            if deed.record is not None:
                self.unresolved[user, deed.event_id] = deed
        self._sleep(user, shopper)

    def decide(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take rows of schemas/decision.avsc."""
        for row in rows:
            claim, sent = claim_of(row), published_of(row)
            if claim is None:
                continue
            shopper = self._touch(row["user_id"])
            shopper.claims.setdefault(claim.decision_id, claim)
            if sent is not None:
                shopper.published.setdefault(sent.intervention_id, sent)

    def do(self, user: str, deed: Deed) -> None:
        """Take an event; the same one twice counts once."""
        shopper = self._touch(user)
        if deed.event_id not in shopper.deeds:
            shopper.deeds[deed.event_id] = deed
            if not shopper.is_known(deed):
                self.unresolved[user, deed.event_id] = deed

    def forget(self, user: str) -> None:
        """Keep nothing of the shopper."""
        for deed in self._touch(user).deeds.values():
            self.unresolved.pop((user, deed.event_id), None)
        self._shoppers[user] = Shopper()

    def refuse(self, keys: Iterable[tuple[str, str]]) -> list[Refused]:
        """Those of these unresolved deeds whose intervention still is not there: they count for nothing any more.

        Call it when every decision is taken that was published before the events came.
        """
        found = []
        for user, event_id in keys:
            deed, shopper = self.unresolved.pop((user, event_id), None), self._touch(user)
            if deed is None or event_id not in shopper.deeds:
                continue
            if shopper.is_known(deed):
                shopper.deeds[event_id] = replace(deed, record=None)
                continue
            del shopper.deeds[event_id]
            reason = "no_such_coupon" if deed.kind == "coupon_redeem" else "unknown_intervention"
            found.append(Refused(user, deed, reason))
        return found

    def advance(self, now: int) -> list[dict[str, Any]]:
        """Outcomes, rows of schemas/outcome.avsc, of windows that closed before `now`, and of those that changed since.

        now: event time, ms, up to which both inputs were taken; one that is smaller than before changes nothing.
        """
        self._now = max(self._now, now)
        while self._wakes and self._wakes[0][0] < self._now:
            at, user = heapq.heappop(self._wakes)
            if self._wake.get(user) == at:
                del self._wake[user]
                self._looked[user] = None
        found: list[dict[str, Any]] = []
        for user in self._looked:
            shopper = self._shoppers[user]
            told = [*self._told(user, shopper, self._now)]
            if self._prune(shopper) or told:
                self._changed[user] = None
            self._sleep(user, shopper)
            found += told
        self._looked.clear()
        return found

    def close(self) -> list[dict[str, Any]]:
        """Outcomes of all windows still open, as if the log ended here; they are told again when the windows close."""
        found: list[dict[str, Any]] = []
        for user, shopper in self._shoppers.items():
            told = [*self._told(user, shopper, FOREVER)]
            if told:
                self._changed[user] = None
            found += told
        return found

    def changes(self) -> dict[str, Shopper]:
        """What changed since the last call, as it now stands; an empty `Shopper` is to be deleted."""
        changed = {user: self._shoppers[user] for user in self._changed}
        self._changed.clear()
        for user, shopper in changed.items():
            if not shopper:
                del self._shoppers[user]
                self._wake.pop(user, None)
        return changed

    def _touch(self, user: str) -> Shopper:
        self._looked[user] = self._changed[user] = None
        return self._shoppers.setdefault(user, Shopper())

    def _told(self, user: str, shopper: Shopper, now: int) -> Iterator[dict[str, Any]]:
        """Outcomes of windows that were over before `now`, where they are other than the last word."""
        for claim in [*shopper.claims.values()]:
            closed = claim.closed or claim.until < self._now
            if not closed and claim.until >= now:
                continue
            row = outcome_of(user, claim, shopper) | {"complete": closed}
            digest = _digest(row)
            if digest != claim.told:
                told = replace(claim, revision=claim.revision + 1, told=digest, closed=closed)
                shopper.claims[claim.decision_id] = told
                learnt = {name: getattr(claim, name) for name in LEARNT_FROM}
                first = {"first_complete": closed and not claim.closed}
                yield row | learnt | first | {"revision": told.revision}

    def _prune(self, shopper: Shopper) -> bool:
        """Drop what can change no outcome any more; whether there was any. A deed stays while a claim may need it."""
        now, late = self._now, self._late
        over = [one.decision_id for one in shopper.claims.values() if one.until + late < now]
        for name in over:
            del shopper.claims[name]
        first = min((claim.time for claim in shopper.claims.values()), default=FOREVER)
        old = [
            one.event_id
            for one in shopper.deeds.values()
            if one.time + late < now and one.time <= first and one.record is None
        ]
        for name in old:
            del shopper.deeds[name]
        named = {deed.intervention_id for deed in shopper.deeds.values()}
        known = max(self._known, late)
        past = [
            name
            for name, sent in shopper.published.items()
            if sent.time + known < now and sent.time < first and name not in named
        ]
        for name in past:
            del shopper.published[name]
        return bool(over or old or past)

    def _sleep(self, user: str, shopper: Shopper) -> None:
        """Until when nothing of this shopper changes by time alone; what is overdue waits for a claim's end."""
        moments = [
            *(one.until for one in shopper.claims.values()),
            *(one.until + self._late for one in shopper.claims.values()),
            *(one.time + self._late for one in shopper.deeds.values()),
            *(one.time + max(self._known, self._late) for one in shopper.published.values()),
        ]
        at = min((moment for moment in moments if moment >= self._now), default=FOREVER)
        if at != FOREVER and self._wake.get(user) != at:
            self._wake[user] = at
            heapq.heappush(self._wakes, (at, user))


def _digest(row: Mapping[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(row, sort_keys=True).encode(), digest_size=8).hexdigest()
