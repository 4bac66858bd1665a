"""The effect report: typed, as JSON, and as a page with its JSON beside."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.effect.assigned import Decisions, Past, by_arm, by_holdout, control_arm
from models.effect.judged import Comparison, against_arm, against_holdout, outcomes
from models.effect.weighed import Weighed, moments, weighed
from models.evaluation.report import put
from models.replay.source import Interval, SourceProblem, iso

PAGE, DATA = "effect.html", "effect.json"
OVERALL = "overall"
BEFORE_DAYS = 28.0  # four whole weeks: each weekday counts as often


@dataclass(frozen=True)
class Spend:
    """What a campaign sent, what its redeemed coupons and its messages cost so far; what was expected to be spent, which a
    budget counts, and the budget of the interval where there is one."""

    sent: int
    redeemed: float
    messages: float
    expected: float
    budget: float | None

    @property
    def spent(self) -> float:
        return self.redeemed + self.messages


@dataclass(frozen=True)
class Report:
    """overall and campaigns: against the hold-out; arms: of experiments; learnt: of those whose arms are. reasons: decisions by
    campaign and reason."""

    interval: Interval
    decisions: int
    overall: Comparison | None
    campaigns: tuple[Comparison, ...]
    arms: tuple[Comparison, ...]
    reasons: Mapping[str, Mapping[str, int]]
    spend: Mapping[str, Spend]
    notes: tuple[str, ...] = ()
    learnt: tuple[Weighed, ...] = ()

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        return (*((self.overall,) if self.overall else ()), *self.campaigns, *self.arms)

    def to_json(self) -> dict[str, Any]:
        return {
            "from": iso(self.interval.start),
            "to": iso(self.interval.stop),
            "decisions": self.decisions,
            "comparisons": {one.name: one.to_json() for one in self.comparisons},
            "learnt_arms": [one.to_json() for one in self.learnt],
            "reasons": {name: dict(found) for name, found in self.reasons.items()},
            "spend": {name: vars(one) | {"spent": one.spent} for name, one in self.spend.items()},
            "notes": list(self.notes),
        }

    def write(self, folder: Path) -> Path:
        """Writes PAGE and DATA into the folder, each complete or not at all; returns the page's path.

        SourceProblem when they cannot be written.
        """
        from models.effect.html import page

        try:
            folder.mkdir(parents=True, exist_ok=True)
            put(folder / DATA, json.dumps(self.to_json(), indent=1, ensure_ascii=False, allow_nan=False))
            put(folder / PAGE, page(self))
        except OSError as problem:
            raise SourceProblem(
                f"report in {folder}: cannot be written ({problem.strerror}): make room or name another folder with -o"
            ) from problem
        return folder / PAGE


def judge(
    decisions: Decisions,
    interval: Interval,
    margin_share: float | None = None,
    past: Past | None = None,
    days: float = BEFORE_DAYS,
    spent: Mapping[str, Spend] | None = None,
) -> Report:
    """The report on decisions of the interval. margin_share: of revenue, where purchases tell no margin; None: all of it.

    past: purchases, also of the `days` before. spent: by campaign.
    """
    share, notes = (1.0 if margin_share is None else margin_share), _notes(decisions, margin_share, past)
    names = sorted({str(name) for name in decisions.campaign})
    assigned = by_holdout(decisions)
    overall = against_holdout(assigned, OVERALL, "All campaigns together", share, past, days)
    if overall is None:
        notes.append(
            "Nobody was held out, or nobody's window is over: nothing can be said of what it all brought."
        )
    campaigns, arms, learnt = [], [], list[Weighed]()
    margin = outcomes(decisions, share)["margin"]
    for name in names:
        found = against_holdout(
            by_holdout(decisions[decisions.campaign == name]), name, name, share, past, days
        )
        if found is not None and len(names) > 1:
            campaigns.append(found)
        learnt += weighed(decisions, margin, name)
        rows, left = moments(decisions, name)
        if left:
            version = decisions.policy[rows[0]]
            notes.append(
                f"{name}: arms that are learnt are compared in the {len(rows):,} moments of policy {version} alone; "
                f"{left:,} of earlier versions are left out, where arms may have been others."
            )
        drawn = by_arm(decisions, name)
        control = control_arm(drawn)
        others = sorted({str(arm) for arm in drawn.group} - {control}) if control else []
        compared = [against_arm(drawn, name, arm, str(control), share, past, days) for arm in others]
        arms += [one for one in compared if one is not None]
    reasons = {
        name: dict(Counter(decisions.reason[decisions.campaign == name].tolist()).most_common())
        for name in names
    }
    return Report(
        interval,
        len(decisions),
        overall,
        tuple(campaigns),
        tuple(arms),
        reasons,
        spent or {},
        tuple(notes),
        tuple(learnt),
    )


def _notes(decisions: Decisions, margin_share: float | None, past: Past | None) -> list[str]:
    notes = []
    if margin_share is None and np.isnan(decisions.margin[decisions.orders > 0]).any():
        notes.append(
            "Purchases tell no margin, so that the whole revenue counts as margin: say --margin-share, such as 0.3."
        )
    if past is None:
        notes.append(
            "What shoppers bought before is not known, so that intervals are wider than they need be."
        )
    versions = sorted({str(one) for one in decisions.policy})
    if len(versions) > 1:
        notes.append(
            f"{len(versions)} versions of the policy decided in this time; what they brought is told together."
        )
    return notes
