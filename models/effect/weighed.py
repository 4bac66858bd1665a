"""Arms that are learnt: what each would have brought, had every moment been given it.

Such an arm goes to the moments in which it is expected to do best, so that what came in one arm cannot be held against what
came in another. Every moment has the chance that its arm was drawn with; weighed by one over it, the moments of each arm
stand for all (SNIPS, models/ope). Chances that were learnt from earlier outcomes leave that right.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.effect.assigned import Decisions
from models.evaluation.bootstrap import Range
from models.families.table import Array, Doubles
from models.ope.estimators import Z, snips
from models.ope.log import LEAST_ESS, Log

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Weighed:
    """An arm against the control arm of its campaign; money per moment. moments: that it was drawn in; chance: how often the
    last tenth of moments drew it. interval: of the difference, 95 %, shoppers drawn; None with too little to tell."""

    campaign: str
    arm: str
    control: str
    moments: int
    chance: float
    value: float
    control_value: float
    difference: float
    interval: Range | None
    ess: float

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


def moments(decisions: Decisions, campaign: str) -> tuple[Indices, int]:
    """Rows (M,) of draws of a campaign whose arms are learnt, and how many of earlier versions of the policy are left out.

    Draws whose window is over, of the newest version that has any: in another the arms may have been others, and of arms that
    changed with time one would be held against another in other times.
    """
    over = np.flatnonzero(decisions.drawn & (decisions.campaign == campaign) & decisions.complete)
    if not len(over):
        return over, 0
    newest = decisions.policy[over[np.argmax(decisions.time[over])]]
    rows = over[decisions.policy[over] == newest]
    return rows, len(over) - len(rows)


def weighed(decisions: Decisions, margin: Doubles, campaign: str) -> list[Weighed]:
    """Of the arms of a campaign that are learnt, each against the arm that gets nothing, else the first by name, in `moments`.
    margin (N,): money of each decision's outcome."""
    mine, _ = moments(decisions, campaign)
    rows, brought = decisions[mine], margin[mine]
    names = sorted({str(arm) for arm in rows.arm})
    if len(names) < 2:
        return []
    nothing = sorted({str(arm) for arm in rows.arm[rows.reason == "control"]})
    control = nothing[0] if nothing else names[0]
    action = np.searchsorted(names, rows.arm)
    log = Log.of(action, brought, rows.propensity, len(names))
    ones = np.eye(len(names))
    every = {name: snips(log, np.tile(ones[at], (len(log), 1)), 0.0) for at, name in enumerate(names)}
    newest = np.argsort(rows.time, kind="stable")[-max(len(rows) // 10, 1) :]
    found = []
    for at, name in enumerate(names):
        if name == control:
            continue
        terms = every[name].terms - every[control].terms
        difference = every[name].value - every[control].value
        ess = min(every[name].overlap.ess, every[control].overlap.ess)
        error = _error(rows.user, terms - difference)
        told = Range(difference - Z * error, difference + Z * error) if ess >= LEAST_ESS else None
        found.append(
            Weighed(
                campaign,
                name,
                control,
                int((action == at).sum()),
                float((action[newest] == at).mean()),
                every[name].value,
                every[control].value,
                difference,
                told,
                ess,
            )
        )
    return found


def _error(user: Array, terms: Doubles) -> float:
    """Standard error of the mean of terms (N,) around 0, when those of one shopper stand or fall together."""
    _, whose = np.unique(user, return_inverse=True)
    sums = np.bincount(whose, terms)
    return math.sqrt(float(sums @ sums) * len(sums) / max(len(sums) - 1, 1)) / len(terms)
