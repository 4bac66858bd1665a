"""How the decisions of two policies over one past differ: counts by campaign and reason, and shopper by shopper."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from models.replay.source import iso
from streams.decide import Decision

Said = tuple[str, str, str]  # reason, arm, what it would have sent
NEVER: Said = ("", "", "")


@dataclass(frozen=True)
class Change:
    """One event and campaign that the two policies decide differently; a reason of '' is no candidate at all."""

    user_id: str
    event_id: str
    event_time: int  # ms
    campaign: str
    before: Said
    after: Said

    def row(self) -> dict[str, Any]:
        """As a row of the JSON and CSV output."""
        words = {
            f"{name}_{what}": word
            for name, said in (("before", self.before), ("after", self.after))
            for what, word in zip(("reason", "arm", "sent"), said, strict=True)
        }
        return {
            "user_id": self.user_id,
            "event_time": iso(self.event_time),
            "event_id": self.event_id,
            "campaign": self.campaign,
            **words,
        }


def counted(decisions: Iterable[Decision]) -> dict[str, Counter[str]]:
    """Decisions by campaign and reason."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for decision in decisions:
        counts[decision.campaign][decision.reason] += 1
    return dict(counts)


def changes(before: Sequence[Decision], after: Sequence[Decision]) -> list[Change]:
    """What is decided differently, by shopper and then time."""
    first, second = ({(one.event_id, one.campaign): one for one in side} for side in (before, after))
    found = []
    for key in dict.fromkeys([*first, *second]):
        old, new = first.get(key), second.get(key)
        said = (_said(old), _said(new))
        if said[0] != said[1]:
            one = old or new
            assert one is not None
            found.append(Change(one.user_id, one.event_id, one.event_time, one.campaign, *said))
    return sorted(found, key=lambda one: (one.user_id, one.event_time))


def agreement(
    replayed: Iterable[Decision], logged: dict[str, dict[str, Any]], version: str
) -> tuple[int, int]:
    """(decisions that the log of this version and the replay share, those of them with the same reason)."""
    both = [
        (one.reason, logged[one.decision_id]["reason"])
        for one in replayed
        if one.decision_id in logged and logged[one.decision_id]["policy_version"] == version
    ]
    return len(both), sum(one == other for one, other in both)


def _said(decision: Decision | None) -> Said:
    if decision is None:
        return NEVER
    sent = decision.intervention
    return decision.reason, decision.arm, "" if sent is None else sent.reason.partition("; ")[2]
