"""What a policy would have earned, campaign by campaign: off-policy estimates (models/ope) over the moments of `rounds`.

Draws are made once a shopper, so a shopper's moments stand or fall together: every estimate is the sum of one number per
shopper, and intervals, effective sample size and largest weight are of shoppers. Where the log cannot tell, there is no
number but the words that say what is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models.families.ridge import Ridge
from models.families.table import Array, Doubles
from models.ope.estimators import Estimate, Z, dm, dr, ips, snips, switch_dr
from models.ope.log import LEAST_ESS, Log, Overlap, overlap
from models.ope.rewards import cross_fitted
from streams.policy import Policy
from streams.whatif.rounds import Rounds

MOST_ELSEWHERE = 0.1  # of the new policy's acts, at moments at which the old one never acted
SWITCH = 20.0  # weight above which Switch-DR leaves the correction out
FOLDS = 5
HEADLINE = "dr"


@dataclass(frozen=True)
class Total:
    """Money over all moments, with its 95 % interval; by_shopper (S,) sums to value."""

    value: float
    low: float
    high: float
    by_shopper: Doubles

    @classmethod
    def of(cls, by_shopper: Doubles, value: float | None = None) -> Total:
        total = float(by_shopper.sum()) if value is None else value
        error = float(by_shopper.std(ddof=1) * np.sqrt(len(by_shopper))) if len(by_shopper) > 1 else np.inf
        return cls(total, total - Z * error, total + Z * error, by_shopper)

    def to_json(self) -> dict[str, float]:
        """value, low, high."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Earned:
    """Of one campaign. difference: new less old, by estimator. refused: why there is none; '' otherwise.

    overlap: of shoppers, at the moments where the policies differ; None when they nowhere do.
    """

    campaign: str
    rounds: Rounds | None
    refused: str = ""
    overlap: Overlap | None = None
    old: Total | None = None
    new: Total | None = None
    difference: dict[str, Total] | None = None


def earned(rounds: Rounds, old: Policy, shoppers: int, least_ess: float = LEAST_ESS) -> Earned:
    """shoppers: how many the past knows, those without a moment among them."""
    if not (rounds.acts or len(rounds) or rounds.open or rounds.strange):
        return Earned(rounds.campaign, rounds)  # neither acts
    why = refusal(rounds, old)
    if why:
        return Earned(rounds.campaign, rounds, why)
    if not rounds.differ.any():
        return Earned(rounds.campaign, rounds)
    log = Log.of(rounds.action, rounds.reward, rounds.propensity, len(rounds.labels))
    apart = rounds.differ
    weights = _by_shopper(rounds.shopper[apart], log.weights(rounds.after)[apart], shoppers)
    seen = overlap(weights[np.unique(rounds.shopper[apart])])
    if seen.ess < least_ess:
        return Earned(rounds.campaign, rounds, _too_few(rounds, seen, least_ess, old), seen)
    q = cross_fitted(rounds.context, log, Ridge(), FOLDS)
    found: dict[str, Total] = {}
    sides = {}
    for name, estimator in _estimators(q).items():
        new, before = (estimator(log, target) for target in (rounds.after, rounds.before))
        terms = _by_shopper(rounds.shopper, new.terms - before.terms, shoppers)
        found[name] = Total.of(terms, (new.value - before.value) * len(rounds))
        sides[name] = tuple(
            Total.of(_by_shopper(rounds.shopper, one.terms, shoppers)) for one in (before, new)
        )
    before_, new_ = sides[HEADLINE]
    return Earned(rounds.campaign, rounds, "", seen, before_, new_, found)


def together(found: list[Earned], shoppers: int) -> Total:
    """Difference of all campaigns that can be told, shopper by shopper."""
    parts = [one.difference[HEADLINE].by_shopper for one in found if one.difference is not None]
    return Total.of(np.sum(parts, axis=0) if parts else np.zeros(shoppers))


def refusal(rounds: Rounds, old: Policy) -> str:
    """Why the log can say nothing of what the new policy does; '' when it can."""
    name = rounds.campaign
    if rounds.elsewhere > MOST_ELSEWHERE * max(rounds.acts, 1):
        return (
            f"it would act at {rounds.acts:,} moments, at {rounds.elsewhere:,} of which {name} never acted (another trigger, "
            "value or cap lets it): what that brings nobody has tried. Give it to a part of the shoppers as an arm, or "
            "publish it with a hold-out, and ask again"
        )
    if not len(rounds):
        return (
            f"{name} acted at no moment whose window has closed ({rounds.open:,} are open, {rounds.strange:,} are of "
            "another policy): choose an earlier --to, a shorter --window-days, or archive more"
        )
    apart = rounds.differ
    tried = np.bincount(rounds.action[apart], minlength=len(rounds.labels))
    for at, label in enumerate(rounds.labels):
        if rounds.after[apart, at].sum() > 0 and not tried[at]:
            return _untried(rounds, at, label, old, int(apart.sum()))
    return ""


def _untried(rounds: Rounds, action: int, label: str, old: Policy, moments: int) -> str:
    name = rounds.campaign
    if action:
        return (
            f"nobody was ever given {label}: make it an arm of the experiment of {name}, and ask again when its windows "
            "have closed"
        )
    return (
        f"no shopper was left without {name} at the {moments:,} moments where the new policy would not act: raise "
        f"holdout.share (it was {old.holdout.share:g}) or give {name} an arm with nothing: true, and ask again when its "
        "windows have closed"
    )


def _too_few(rounds: Rounds, seen: Overlap, least: float, old: Policy) -> str:
    apart = rounds.differ
    done = rounds.action[apart]
    told = ", ".join(f"{int((done == at).sum()):,} times {label}" for at, label in enumerate(rounds.labels))
    return (
        f"effective sample size {seen.ess:.0f} shoppers, want {least:g}: of {int(apart.sum()):,} moments where the policies "
        f"differ the log has {told}. Take a longer --from … --to, or raise holdout.share (it was {old.holdout.share:g}) or "
        f"the share of the arm in question"
    )


def _by_shopper(shopper: Array, numbers: Doubles, shoppers: int) -> Doubles:
    return np.bincount(shopper, numbers, shoppers).astype(np.float64)


def _estimators(q: Doubles) -> dict[str, Callable[[Log, Array], Estimate]]:
    return {
        "ips": lambda log, target: ips(log, target, least_ess=0),
        "snips": lambda log, target: snips(log, target, least_ess=0),
        "dm": lambda log, target: dm(log, target, q),
        "dr": lambda log, target: dr(log, target, q, least_ess=0),
        "switch_dr": lambda log, target: switch_dr(log, target, q, SWITCH, least_ess=0),
    }
