"""Whether to step in: a pure function of predictions, contacts, policy and the events' own times.

It follows `score` in the pass over a batch and hands `publish` a decision for every candidate: an event after which a
campaign is to be considered and whose score is within the campaign's bounds. Candidates are found column by column;
only they are walked one by one, in the order of the log, so that where a batch was cut makes no difference.

Rules, in this order: kill switch, consent, robots and staff, hold-out, eligibility (audience, schedule, age of the
event, something to offer), value, arbitration, frequency cap, cooldowns, quiet hours, dry run, control arm. The first
that speaks gives the reason. Arbitration is before the caps: an event has one winner, and when that winner must wait
nobody takes its place. What is only tried (dry run, control arm) is asked last, so that it is written down exactly
where something would have been sent; no cap counts it.
"""

import hashlib
from collections import deque
from collections.abc import Iterator

import numpy as np

from models.events import EVENT_TYPES
from streams.candidates import Scored, find_candidates
from streams.compiled import CompiledPolicy, Variant, fraction
from streams.contacts import Contact, ContactBook, Sent
from streams.ids import decision_id, intervention_id
from streams.interventions import Decision, Moment, compose, due
from streams.policy import Campaign
from streams.rules import bought_lately, is_bot, refusal, standing_rule, time_to_send

__all__ = ["CompiledPolicy", "Decision", "Scored", "decide", "is_held_out", "standing_rule"]

OUTCOMES = {
    "emitted": "emit",
    "kill_switch": "held_back",
    "no_consent": "held_back",
    "holdout": "held_back",
    "outranked": "held_back",
    "frequency_cap": "held_back",
    "cooldown": "held_back",
    "bot": "held_back",
    "not_eligible": "held_back",
    "off_schedule": "held_back",
    "stale": "held_back",
    "after_purchase": "held_back",
    "quiet_hours": "held_back",
    "dry_run": "held_back",
    "control": "held_back",
    "no_candidates": "nothing",
    "below_value": "nothing",
}


def decide(
    scored: Scored, contacts: ContactBook, policy: CompiledPolicy, decided_at: int, now: int | None = None
) -> list[Decision]:
    """A decision for every candidate of the batch, in the order of the log; changes the contacts of the book.

    `decided_at` is the wall clock, ms, and is only recorded: all state is in event time. `now`, ms, is held against the
    age of events where the policy has max_age_minutes (see `rules`); None: event time alone counts. The same batch with
    the same contacts, policy and `now` gives the same decisions. Raises ValueError when the batch was scored for other
    tasks than the policy.
    """
    if scored.tasks != policy.tasks:
        raise ValueError(
            f"scores are for {scored.tasks}, the policy was compiled for {policy.tasks}; compile it again"
        )
    candidates = find_candidates(scored, policy)
    users = scored.user_ids
    rows = candidates.row.tolist()
    contacts.fetch([*(users[row] for row in rows), *(said.user for said in scored.said)])
    columns = [
        (policy.campaigns[at], score, value)
        for at, score, value in zip(
            candidates.campaign.tolist(), candidates.score.tolist(), candidates.value.tolist(), strict=True
        )
    ]
    unheard = deque(scored.said)
    decisions: list[Decision] = []
    for moment, row, first, last in _moments(scored, rows, now):
        while unheard and unheard[0].row <= row:
            contacts.hear(unheard.popleft())
        decisions += _decide_event(moment, columns[first:last], contacts, policy, scored.release, decided_at)
    for said in unheard:
        contacts.hear(said)
    return decisions


def is_held_out(user_id: str, salt: str, share: float) -> bool:
    """Whether the first 8 bytes of SHA-256("salt:user_id"), as a fraction of 2^64, are below the share."""
    return fraction(f"{salt}:{user_id}") < share


def _decide_event(
    moment: Moment,
    group: list[tuple[Campaign, float, float]],  # campaign, score, expected value
    contacts: ContactBook,
    policy: CompiledPolicy,
    release: str,
    decided_at: int,
) -> list[Decision]:
    contact = contacts.get(moment.user_id)
    holdout = policy.policy.holdout
    held_out = is_held_out(moment.user_id, holdout.salt, holdout.share)
    bot = is_bot(moment, policy)
    variants = [policy.variant(campaign, moment.user_id) for campaign, _, _ in group]
    reasons = [
        refusal(variant.campaign, value, moment, contact, policy, held_out, bot)
        for variant, (_, _, value) in zip(variants, group, strict=True)
    ]
    willing = [at for at, reason in enumerate(reasons) if reason == ""]
    out, why = None, [""] * len(group)
    if willing:
        winner = max(willing, key=lambda at: (group[at][0].priority, group[at][2], -at))
        for at in willing:
            reasons[at] = "outranked"
        reasons[winner], out = _verdict(variants[winner], moment, contact, policy)
        why = _why(group, willing, winner)
        if out != due(variants[winner].campaign, moment)[0]:
            why[winner] += "; moved to the end of quiet hours"
    eligible = [campaign.id for campaign, _, _ in group]
    digest = hashlib.blake2b(moment.context, digest_size=8).hexdigest()
    decisions = []
    for at, ((campaign, score, value), variant, reason) in enumerate(
        zip(group, variants, reasons, strict=True)
    ):
        propensity = holdout.share if reason == "holdout" else 1.0
        if reason in ("emitted", "control"):
            propensity = (1.0 - holdout.share) * variant.propensity
        decision = Decision(
            decision_id=decision_id(moment.event_id, campaign.id),
            event_id=moment.event_id,
            prediction_id=moment.prediction_id,
            user_id=moment.user_id,
            event_time=moment.event_time,
            decided_at=decided_at,
            campaign=campaign.id,
            kind=campaign.kind,
            outcome=OUTCOMES[reason],
            reason=reason,
            eligible=eligible,
            propensity=propensity,
            score=score,
            threshold=campaign.trigger.threshold,
            value=value,
            cost=campaign.value.cost_per_contact,
            release=release,
            policy_version=policy.version,
            scores=moment.scores,
            purpose=campaign.purpose,
            arm=variant.arm,
            time_zone=contact.time_zone or policy.zone,
            send_after=out if willing and at == winner else None,
            why=why[at],
            history_digest=digest,
            attribution_hours=campaign.attribution_hours,
        )
        if reason == "emitted":
            assert out is not None
            _emit(decision, variant, moment, contact, contacts, policy, out)
        decisions.append(decision)
    return decisions


def _verdict(variant: Variant, moment: Moment, contact: Contact, policy: CompiledPolicy) -> tuple[str, int]:
    """What becomes of the event's winner, and when it goes out, ms."""
    campaign = variant.campaign
    out, forbidden = time_to_send(campaign, moment, contact, policy)
    reason = standing_rule(contact, campaign, moment.event_time, out, policy)
    if reason is None and bought_lately(campaign, moment, policy):
        reason = "after_purchase"
    if reason is None and forbidden:
        reason = "quiet_hours"
    if reason is None and policy.rules[campaign.id].dry_run:
        reason = "dry_run"
    if reason is None and variant.nothing:
        reason = "control"
    return reason or "emitted", out


def _why(group: list[tuple[Campaign, float, float]], willing: list[int], winner: int) -> list[str]:
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


def _emit(
    decision: Decision,
    variant: Variant,
    moment: Moment,
    contact: Contact,
    contacts: ContactBook,
    policy: CompiledPolicy,
    out: int,
) -> None:
    campaign = variant.campaign
    name = intervention_id(moment.event_id, campaign.id)
    decision.intervention = compose(
        campaign, moment, name, decision.decision_id, decision.decided_at, out, variant.arm
    )
    coupon = decision.intervention.coupon
    decision.coupon_value = 0.0 if coupon is None else coupon["value"]
    later = None if out == moment.event_time else out
    sent = Sent(campaign.id, campaign.kind, moment.event_time, name, later)
    contacts.put(moment.user_id, contact.after(sent, policy.reach))


def _moments(scored: Scored, rows: list[int], now: int | None) -> Iterator[tuple[Moment, int, int, int]]:
    """(moment, row, first, last) of each event that has candidates [first, last)."""
    if not rows:
        return
    starts = [at for at, row in enumerate(rows) if at == 0 or row != rows[at - 1]]
    distinct = [rows[at] for at in starts]
    context = scored.context[distinct]
    columns = zip(
        distinct,
        starts,
        [*starts[1:], len(rows)],
        scored.event_type[distinct].tolist(),
        scored.event_time[distinct].tolist(),
        scored.scores[distinct].tolist(),
        scored.top[distinct].tolist(),
        scored.top_scores[distinct].tolist(),
        scored.device[distinct].tolist(),
        np.ascontiguousarray(context).view(f"V{context.itemsize}").tolist(),
        context["events"].tolist(),
        context["sessions"].tolist(),
        context["purchase_time"].tolist(),
        context["previous_time"].tolist(),
        strict=True,
    )
    for row, first, last, kind, time, scores, top, top_scores, device, *past in columns:
        moment = Moment(
            user_id=scored.user_ids[row],
            event_id=scored.event_ids[row],
            prediction_id=scored.prediction_ids[row],
            event_type=EVENT_TYPES[kind],
            event_time=time,
            scores=dict(zip(scored.tasks, scores, strict=True)),
            top=top,
            top_scores=top_scores,
            categories=scored.categories,
            popular=scored.popular,
            category_id=scored.category_ids[row],
            device=device,
            properties=scored.properties[row] or (),
            context=past[0],
            events=past[1],
            sessions=past[2],
            purchased=past[3],
            latest=past[4],
            now=now,
        )
        yield moment, row, first, last
