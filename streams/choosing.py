"""One shopper in one moment, and the campaigns that want it: which one wins, and what every rule says.

A winner that is not to go out yet is `deferred`: it holds its place among caps and cooldowns, a timer rings when its hour
has come, and everything is asked once more then.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from models.ids import decision_id, intervention_id
from streams.budgets import Quote
from streams.compiled import CompiledPolicy, Variant, fraction
from streams.contacts import WITHHELD, Contact, ContactBook, Sent
from streams.interventions import Decision, Moment, compose, due
from streams.policy import Campaign
from streams.rules import bought_lately, is_bot, refusal, standing_rule, time_to_send
from streams.timers import Paid, Timer, kept

OUTCOMES = {
    "emitted": "emit",
    "kill_switch": "held_back",
    "no_consent": "held_back",
    "bot": "held_back",
    "holdout": "held_back",
    "not_eligible": "held_back",
    "off_schedule": "held_back",
    "stale": "held_back",
    "outranked": "held_back",
    "frequency_cap": "held_back",
    "cooldown": "held_back",
    "after_purchase": "held_back",
    "quiet_hours": "held_back",
    "budget": "held_back",
    "pacing": "held_back",
    "dry_run": "held_back",
    "control": "held_back",
    "deferred": "held_back",
    "withdrawn": "held_back",
    "no_candidates": "nothing",
    "below_value": "nothing",
}
Wanting = tuple[Campaign, float, float]  # campaign, score, expected value


@dataclass(frozen=True, slots=True)
class Deciding:
    """What does not change while a batch is decided. decided_at: wall clock, ms, only recorded."""

    contacts: ContactBook
    policy: CompiledPolicy
    decided_at: int


def is_held_out(user_id: str, salt: str, share: float) -> bool:
    """Whether the first 8 bytes of SHA-256("salt:user_id"), as a fraction of 2^64, are below the share."""
    return fraction(f"{salt}:{user_id}") < share


def choose(
    deciding: Deciding, moment: Moment, group: list[Wanting], release: str, waited: Timer | None = None
) -> list[Decision]:
    """A decision for each campaign that wants the moment; changes the contacts and what they hold.

    waited: the message whose hour has come, else None.
    """
    contacts, policy = deciding.contacts, deciding.policy
    contact = contacts.get(moment.user_id)
    holdout = policy.policy.holdout
    held_out = is_held_out(moment.user_id, holdout.salt, holdout.share)
    bot = is_bot(moment, policy)
    zone = contact.time_zone or policy.zone
    variants = [policy.dealt(campaign, moment, zone, waited) for campaign, _, _ in group]
    reasons = [
        refusal(variant.campaign, value, moment, contact, policy, held_out, bot)
        for variant, (_, _, value) in zip(variants, group, strict=True)
    ]
    willing = [at for at, reason in enumerate(reasons) if reason == ""]
    out, paid, why, winner = None, None, [""] * len(group), -1
    if willing:
        winner = max(willing, key=lambda at: (group[at][0].priority, group[at][2], -at))
        for at in willing:
            reasons[at] = "outranked"
        reasons[winner], out, paid = _verdict(
            deciding, variants[winner], group[winner][2], moment, contact, waited
        )
        why = _why(group, willing, winner)
        if out != due(variants[winner].campaign, moment)[0]:
            why[winner] += "; moved to the end of quiet hours"
    eligible = [campaign.id for campaign, _, _ in group]
    digest, decisions = _digest(moment), []
    for at, ((campaign, score, value), variant, reason) in enumerate(
        zip(group, variants, reasons, strict=True)
    ):
        propensity = holdout.share if reason == "holdout" else 1.0
        if reason in ("emitted", "control", "deferred"):
            propensity = (1.0 - holdout.share) * variant.propensity
        decision = _decision(
            deciding,
            moment,
            contact,
            (campaign.id, campaign.kind),
            reason,
            release,
            waited is not None,
            history_digest=digest,
            eligible=eligible,
            propensity=propensity,
            score=score,
            threshold=campaign.trigger.threshold,
            value=value,
            cost=campaign.value.cost_per_contact,
            purpose=campaign.purpose,
            arm=variant.arm,
            learned_version=variant.learned_version,
            send_after=out if at == winner else None,
            why=why[at],
            attribution_hours=campaign.attribution_hours,
        )
        if reason in ("emitted", "deferred") or (reason == "control" and variant.drawn):
            assert out is not None
            _act(deciding, decision, variant, moment, contact, out, paid)
        decisions.append(decision)
    return decisions


def withdrawn(
    deciding: Deciding,
    timer: Timer,
    moment: Moment,
    why: str = "the policy has no such campaign or arm any more, or it no longer considers such scores",
) -> Decision:
    """The policy has the campaign no longer, or asks for a score that was not kept: what waited for it is dropped."""
    return _decision(
        deciding,
        moment,
        deciding.contacts.get(moment.user_id),
        (timer.campaign, timer.kind),
        "withdrawn",
        timer.release,
        timer.sent is not None,
        history_digest=_digest(moment),
        eligible=[],
        propensity=1.0,
        score=0.0,
        threshold=0.0,
        value=0.0,
        cost=0.0,
        purpose="",
        arm="",
        learned_version="",
        send_after=None,
        why=why,
    )


def _decision(
    deciding: Deciding,
    moment: Moment,
    contact: Contact,
    campaign: tuple[str, str],  # id, kind
    reason: str,
    release: str,
    waited: bool,
    **rest: Any,
) -> Decision:
    """A decision with all that does not depend on the campaign's own terms, which are `rest`."""
    name, kind = campaign
    policy = deciding.policy
    return Decision(
        decision_id=decision_id(moment.event_id, f"{name}@{moment.at}" if waited else name),
        event_id=moment.event_id,
        prediction_id=moment.prediction_id,
        user_id=moment.user_id,
        event_time=moment.event_time,
        decided_at=deciding.decided_at,
        campaign=name,
        kind=kind,
        outcome=OUTCOMES[reason],
        reason=reason,
        release=release,
        policy_version=policy.version,
        scores=moment.scores,
        time_zone=contact.time_zone or policy.zone,
        **rest,
    )


def _digest(moment: Moment) -> str:
    return hashlib.blake2b(moment.context, digest_size=8).hexdigest()


def _verdict(
    deciding: Deciding,
    variant: Variant,
    value: float,
    moment: Moment,
    contact: Contact,
    waited: Timer | None,
) -> tuple[str, int, Paid | None]:
    """What becomes of the event's winner, when it goes out, ms, and what pays for it."""
    campaign, policy, budgets = variant.campaign, deciding.policy, deciding.contacts.budgets
    out, forbidden = time_to_send(campaign, moment, contact, policy)
    reason = standing_rule(contact, campaign, moment.at, out, policy)
    if reason is None and bought_lately(campaign, moment, policy):
        reason = "after_purchase"
    if reason is None and forbidden:
        reason = "quiet_hours"
    quote = None
    if reason is None and campaign.budget is not None and not (waited and waited.paid):
        quote = budgets.quote(campaign, value, moment.at, policy.zone)
        reason = quote.reason or None
    if reason is None and policy.rules[campaign.id].dry_run:
        reason = "dry_run"
    if reason is None and variant.nothing:
        reason = "control"
    if reason is None and out > moment.at:
        reason = "deferred"
    if quote is not None and reason not in ("dry_run", "control"):
        budgets.keep(campaign, quote)
    return reason or "emitted", out, _paid(quote, campaign, waited)


def _paid(quote: Quote | None, campaign: Campaign, waited: Timer | None) -> Paid | None:
    if quote is not None:
        return quote.day, campaign.value.cost_per_contact
    return waited.paid if waited else None


def _why(group: list[Wanting], willing: list[int], winner: int) -> list[str]:
    """Why each campaign won or lost the event; '' where a rule spoke before it came to that."""
    words = [""] * len(group)
    best, _, most = group[winner]
    for at in willing:
        campaign, _, value = group[at]
        if campaign.priority != best.priority:
            words[at] = f"lost to {best.id}: priority {campaign.priority}, not {best.priority}"
        else:
            words[at] = f"lost to {best.id}: same priority, value {value:.2f}, not {most:.2f}"
    others = [group[at] for at in willing if at != winner]
    if not others:
        words[winner] = "the only campaign left for the event"
    else:
        second, _, value = max(others, key=lambda one: (one[0].priority, one[2]))
        words[winner] = (
            f"won over {second.id}: priority {best.priority}, not {second.priority}"
            if best.priority != second.priority
            else f"won over {second.id}: same priority, value {most:.2f}, not {value:.2f}"
        )
    return words


def _act(
    deciding: Deciding,
    decision: Decision,
    variant: Variant,
    moment: Moment,
    contact: Contact,
    out: int,
    paid: Paid | None,
) -> None:
    """Send it, or let it wait for its hour; either way it counts among the contacts, and is paid. What an arm that is
    learnt withholds counts as well, see `rules.standing_rule`."""
    campaign, contacts = variant.campaign, deciding.contacts
    name = intervention_id(moment.event_id, campaign.id)
    if decision.reason == "deferred":
        waiting = Timer(
            out, campaign.id, campaign.kind, decision.release, kept(moment), name, paid, variant.drawn
        )
        contacts.timers.arm(waiting)
    elif decision.reason == "emitted":
        decision.intervention = compose(
            campaign, moment, name, decision.decision_id, decision.decided_at, out, variant.arm
        )
        coupon = decision.intervention.coupon
        decision.coupon_value = 0.0 if coupon is None else coupon["value"]
    later = None if out == moment.at else out
    kind = WITHHELD if variant.nothing else campaign.kind
    sent = Sent(campaign.id, kind, moment.at, name, later)
    contacts.put(moment.user_id, contact.after(sent, deciding.policy.reach))
