"""Moments at which chance decided whether, and with which offer, a campaign acted, and what the shopper then brought.

A moment is one at which the policy in force acts once its draws are set aside (`rehearse`). What the log says was done
there is one action of several: nothing (held out, or in an arm that gets nothing) or one of the offers. Moments at
which nothing was left to chance tell as much of the actions they had, and nothing of the others.

Reward of a moment: the margin of the shopper's purchases after it, within the window, less the cost of the contact if
there was one. Shop's currency.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.families.table import Array, Doubles
from models.ids import decision_id
from models.replay.dataset import PURCHASE, Sequences
from streams.compiled import CompiledPolicy
from streams.decide import Decision
from streams.learning.state import Learnt
from streams.policy import Campaign, Policy
from streams.whatif.learnt import dealt
from streams.whatif.past import Past

NOTHING = "nothing"
LEFT_ALONE = ("holdout", "control")


@dataclass(frozen=True)
class Margin:
    """What a purchase brings: `share` of its price, or, None, the campaign's margin_per_conversion once a moment."""

    window_ms: int
    share: float | None = None

    def of(self, sequences: Sequences, campaign: Campaign, shopper: Array, time: Array) -> Doubles:
        """Margin (N,) of what shoppers bought after these times, ms, within the window."""
        events = sequences.events
        bought = np.flatnonzero(events["type"] == PURCHASE)
        whose, when = sequences.shopper[bought], events["time"][bought]
        order = np.lexsort((when, whose))
        low = int(min(when.min(initial=0), time.min(initial=0)))
        span = int(max(when.max(initial=0), time.max(initial=0))) + self.window_ms + 2 - low
        keys = (whose * span + (when - low))[order]
        first = np.searchsorted(keys, shopper * span + (time - low), side="right")
        last = np.searchsorted(keys, shopper * span + (time + self.window_ms - low), side="right")
        if self.share is None:
            return np.where(last > first, campaign.value.margin_per_conversion, 0.0)
        spent = np.nan_to_num(events["price"][bought][order].astype(np.float64))
        total = np.concatenate([[0.0], np.cumsum(spent)])
        return np.asarray(self.share * (total[last] - total[first]))


@dataclass(frozen=True)
class Rounds:
    """N moments of one campaign, A actions, action 0 = nothing.

    labels (A,). shopper int64 (N,), position in the past's users. action, reward, propensity (N,). before, after (N, A):
    the chance of each action in the policy in force and in the new one. context (N, F): scores. open: moments left out
    because their window has not closed; strange: because the log says something else of them. elsewhere: moments at which
    only the new policy acts; acts: all at which it does.
    """

    campaign: str
    labels: list[str]
    shopper: npt.NDArray[np.int64]
    action: npt.NDArray[np.int64]
    reward: Doubles
    propensity: Doubles
    before: Doubles
    after: Doubles
    context: Doubles
    open: int
    strange: int
    elsewhere: int
    acts: int

    def __len__(self) -> int:
        return len(self.shopper)

    @property
    def differ(self) -> npt.NDArray[np.bool_]:
        """(N,) where the two policies do not do the same."""
        return np.asarray((np.abs(self.before - self.after) > 1e-9).any(axis=1))


def rounds(
    past: Past,
    old: Policy,
    new: Policy,
    rehearsed: tuple[list[Decision], list[Decision]],
    margin: Margin,
    campaign: Campaign,
    learnt: Mapping[str, Learnt] | None = None,
) -> Rounds:
    """Of one campaign of the policy in force; rehearsed: the moments of the old and of the new policy.

    learnt: what the new policy deals its arms by, where they are learnt.
    """
    first, second = (
        {one.event_id: one for one in side if one.campaign == campaign.id and one.reason == "emitted"}
        for side in rehearsed
    )
    offers = _offers(old, campaign.id)
    wanted = _offers(new, campaign.id)
    labels = [NOTHING, *offers, *(offer for offer in wanted if offer not in offers)]
    usual, changed = (_chances(labels, mine, policy) for mine, policy in ((offers, old), (wanted, new)))
    nothing = _chances(labels, {}, old)
    later = next((one for one in new.campaigns if one.id == campaign.id and one.learning is not None), None)
    deal = None if later is None else dealt(new, later.id, learnt or {})

    def then(moment: Decision) -> Doubles:
        if moment.event_id not in second:
            return nothing
        return changed if deal is None else _chances(labels, _offers(new, campaign.id, deal(moment)), new)

    users = {user: at for at, user in enumerate(past.sequences.users.to_pylist())}
    kept, actions, open_, strange = [], [], 0, 0
    for moment in first.values():
        done = _done(moment, past, old, labels)
        if done is None:
            strange += 1
        elif moment.event_time + margin.window_ms > past.known_until:
            open_ += 1
        else:
            kept.append(moment)
            actions.append(done)
    shopper = np.array([users[one.user_id] for one in kept], np.int64)
    time = np.array([one.event_time for one in kept], np.int64)
    action = np.array(actions, np.int64)
    before = np.tile(usual, (len(kept), 1))
    cost = campaign.value.cost_per_contact
    return Rounds(
        campaign=campaign.id,
        labels=labels,
        shopper=shopper,
        action=action,
        reward=margin.of(past.sequences, campaign, shopper, time) - cost * (action > 0),
        propensity=before[np.arange(len(kept)), action],
        before=before,
        after=np.array([then(one) for one in kept]).reshape(-1, len(labels)),
        context=_context(kept),
        open=open_,
        strange=strange,
        elsewhere=len(second.keys() - first.keys()),
        acts=len(second),
    )


def _offers(policy: Policy, campaign: str, chances: Mapping[str, float] | None = None) -> dict[str, float]:
    """Share of the shoppers by what a campaign of the policy offers them, as words; arms that get nothing left out.

    chances: of the arms in a moment, for their shares.
    """
    found: dict[str, float] = {}
    for one in policy.campaigns:
        if one.id == campaign:
            for variant in CompiledPolicy(policy, _scores(policy)).variants[campaign]:
                if not variant.nothing:
                    label = offer(variant.campaign)
                    share = variant.propensity if chances is None else chances[variant.arm]
                    found[label] = found.get(label, 0.0) + share
    return found


def offer(campaign: Campaign) -> str:
    """A campaign's payload in words; equal ones are one action."""
    fields = campaign.payload.model_dump(exclude_defaults=True)
    return f"{campaign.kind} {', '.join(f'{name} {word}' for name, word in fields.items())}"


def _chances(labels: list[str], offers: dict[str, float], policy: Policy) -> Doubles:
    """Chance of each action (A,) where the policy acts with these offers."""
    reached = 1.0 - policy.holdout.share
    found = np.array([reached * offers.get(label, 0.0) for label in labels])
    found[0] = 1.0 - found[1:].sum()
    return found


def _done(moment: Decision, past: Past, old: Policy, labels: list[str]) -> int | None:
    """The action that the log says was taken at a moment; None when it was not left to the draws of this policy."""
    logged = past.decided.get(moment.decision_id)
    if logged is None:  # a message that waited; who is left alone was told so at once
        logged = past.decided.get(decision_id(moment.event_id, moment.campaign))
    if logged is None or logged["policy_version"] != old.version:
        return None
    if logged["reason"] in LEFT_ALONE:
        return 0
    if logged["reason"] != "emitted":
        return None
    compiled = next(one for one in old.campaigns if one.id == moment.campaign)
    arm = logged["arm"]
    experiment = compiled.experiment
    chosen = next((one for one in experiment.arms if one.name == arm), None) if experiment else None
    offered = compiled if chosen is None else compiled.in_arm(chosen.payload, chosen.name)
    label = offer(offered)
    return labels.index(label) if label in labels else None


def _context(moments: Iterable[Decision]) -> Doubles:
    kept = list(moments)
    tasks = sorted(set.intersection(*(set(one.scores) for one in kept))) if kept else []
    return np.array([[one.scores[task] for task in tasks] for one in kept], np.float64).reshape(
        len(kept), len(tasks)
    )


def _scores(policy: Policy) -> list[str]:
    return sorted(
        {one.trigger.score for one in policy.campaigns} | {one.value_score for one in policy.campaigns}
    )
