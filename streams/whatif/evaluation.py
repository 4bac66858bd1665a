"""Everything that is asked of a new policy, put together: what it would have done, and what it would have earned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.ope.log import LEAST_ESS
from models.replay.source import Interval, SourceProblem
from schemas.settings import Settings
from streams.learning.state import Learnt
from streams.policy import Campaign, Policy
from streams.whatif.changes import Change, agreement, changes, counted
from streams.whatif.earned import Earned, Total, earned, together
from streams.whatif.learnt import notes
from streams.whatif.past import Past, read
from streams.whatif.replayed import rehearse, replay
from streams.whatif.rounds import Margin, rounds


@dataclass(frozen=True)
class Evaluation:
    """old, new: the policies. before, after: decisions by campaign and reason. shared, same: decisions that the log has of
    the old policy, and those that the replay gave the same reason. shoppers: all of the past. learnt: by what arms that
    are learnt were dealt, in words.
    """

    old: Policy
    new: Policy
    past: Past
    margin: Margin
    before: dict[str, Counter[str]]
    after: dict[str, Counter[str]]
    changes: list[Change]
    shared: int
    same: int
    earned: list[Earned]
    together: Total
    learnt: list[str]

    @property
    def shoppers(self) -> int:
        return len(self.past.sequences.users)

    def to_json(self) -> dict[str, Any]:
        """Everything but the single changes."""
        return {
            "from": str(self.past.interval).partition(" ")[0],
            "to": str(self.past.interval).rpartition(" ")[2],
            "old": self.old.version,
            "new": self.new.version,
            "agreement": {"decisions": self.shared, "same": self.same},
            "before": {name: dict(counts) for name, counts in self.before.items()},
            "after": {name: dict(counts) for name, counts in self.after.items()},
            "changes": len(self.changes),
            "shoppers": self.shoppers,
            "shoppers_changed": len({one.user_id for one in self.changes}),
            "margin": {
                "window_days": self.margin.window_ms / 86_400_000,
                "share_of_price": self.margin.share,
            },
            "earned": [_earned_json(one) for one in self.earned],
            "together": self.together.to_json(),
            "notes": self.past.notes,
            "learnt": self.learnt,
        }


def evaluate(
    settings: Settings,
    old: Policy,
    new: Policy,
    interval: Interval,
    margin: Margin,
    least_ess: float = LEAST_ESS,
    learnt: Mapping[str, Learnt] | None = None,
) -> Evaluation:
    """Reads the archive, replays both policies. learnt: by campaign, what arms that are learnt are dealt by.

    Raises SourceProblem, and ValueError for scores that are not there.
    """
    past = read(settings, interval, _heard([*old.campaigns, *new.campaigns]), margin.window_ms)
    if not len(past):
        raise SourceProblem(
            f"no event in {interval} that a campaign of either policy is triggered by has a prediction: choose another "
            "interval, or archive the predictions too (`intentflow archive --until-end`)"
        )
    before, after = replay(past, old, settings, learnt), replay(past, new, settings, learnt)
    rehearsed = rehearse(past, old, settings), rehearse(past, new, settings)
    releases = {name: scored.tasks for name, scored in past.scored.items() if scored.tasks}
    shoppers = len(past.sequences.users)
    known = [one.id for one in old.campaigns]
    found = [
        Earned(one.id, None, _changing(one.id))
        if one.learning is not None
        else earned(rounds(past, old, new, rehearsed, margin, one, learnt), old, shoppers, least_ess)
        for one in old.campaigns
    ]
    found += [Earned(one.id, None, _unknown(one.id)) for one in new.campaigns if one.id not in known]
    return Evaluation(
        old,
        new,
        past,
        margin,
        counted(before),
        counted(after),
        changes(before, after),
        *agreement(before, past.decided, old.version),
        found,
        together(found, shoppers),
        [*dict.fromkeys(note for one in (old, new) for note in notes(one, learnt or {}, releases))],
    )


def _heard(campaigns: list[Campaign]) -> set[str] | None:
    """Types of events that make a difference to these campaigns; None, when one may wait: any event can end a pause, and
    makes time pass."""
    if any(one.trigger.idle_minutes or one.kind == "push" for one in campaigns):
        return None
    return {name for one in campaigns for name in one.trigger.event_types}


def _unknown(campaign: str) -> str:
    return (
        f"the policy in force had no {campaign}, so nobody has tried it: publish it with a hold-out, and ask again when its "
        "windows have closed"
    )


def _changing(campaign: str) -> str:
    return (
        f"the arms of {campaign} were learnt, with chances that changed from moment to moment: `intentflow effect` weighs what "
        "came by them"
    )


def _earned_json(one: Earned) -> dict[str, Any]:
    rounds = one.rounds
    return {
        "campaign": one.campaign,
        "refused": one.refused,
        "moments": 0 if rounds is None else len(rounds),
        "differ": 0 if rounds is None else int(rounds.differ.sum()),
        "windows_open": 0 if rounds is None else rounds.open,
        "of_another_policy": 0 if rounds is None else rounds.strange,
        "acts": 0 if rounds is None else rounds.acts,
        "acts_elsewhere": 0 if rounds is None else rounds.elsewhere,
        "ess": None if one.overlap is None else one.overlap.ess,
        "largest_weight": None if one.overlap is None else one.overlap.weight,
        "old": None if one.old is None else one.old.to_json(),
        "new": None if one.new is None else one.new.to_json(),
        "difference": None
        if one.difference is None
        else {name: total.to_json() for name, total in one.difference.items()},
    }
