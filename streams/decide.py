"""Whether to step in: a pure function of predictions, contacts, policy and the events' own times.

It follows `score` in the pass over a batch and hands `publish` a decision for every candidate: an event after which a
campaign is to be considered and whose score is within the campaign's bounds. Candidates are found column by column;
only they are walked one by one, in the order of the log, so that where a batch was cut makes no difference.

Rules, in this order: kill switch, consent, hold-out, something to offer, value, arbitration, frequency cap, cooldown.
The first that speaks gives the reason. Arbitration is before the caps: an event has one winner, and when that winner
must wait nobody takes its place.
"""

import hashlib
from collections import deque
from collections.abc import Iterator

from models.events import EVENT_TYPES
from streams.candidates import CompiledPolicy, Scored, find_candidates
from streams.contacts import Contact, ContactBook, Sent
from streams.ids import decision_id, intervention_id
from streams.interventions import Decision, Moment, can_offer, compose
from streams.policy import Campaign

__all__ = ["CompiledPolicy", "Decision", "Scored", "decide", "is_held_out", "standing_rule"]

OUTCOMES = {
    "emitted": "emit",
    "kill_switch": "held_back",
    "no_consent": "held_back",
    "holdout": "held_back",
    "outranked": "held_back",
    "frequency_cap": "held_back",
    "cooldown": "held_back",
    "no_candidates": "nothing",
    "below_value": "nothing",
}


def decide(scored: Scored, contacts: ContactBook, policy: CompiledPolicy, decided_at: int) -> list[Decision]:
    """A decision for every candidate of the batch, in the order of the log; changes the contacts of the book.

    `decided_at` is the wall clock, ms, and is only recorded: all state is in event time. The same batch with the same
    contacts gives the same decisions. Raises ValueError when the batch was scored for other tasks than the policy.
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
    for moment, row, first, last in _moments(scored, rows):
        while unheard and unheard[0].row <= row:
            contacts.hear(unheard.popleft())
        decisions += _decide_event(moment, columns[first:last], contacts, policy, scored.release, decided_at)
    for said in unheard:
        contacts.hear(said)
    return decisions


def standing_rule(contact: Contact, campaign: Campaign, time: int, policy: CompiledPolicy) -> str | None:
    """'frequency_cap' or 'cooldown' when what was sent forbids this campaign at this event time, else None.

    Events come late, so a rule with window W counts what was sent less than W before *or after* the event: then no
    window of length W anywhere can hold more than its count. An event W or more older than the newest thing sent is
    refused as well: contacts are kept only 2 W back from that, so its own past can no longer be judged.
    """
    sent = contact.sent
    if not sent:
        return None
    newest = sent[-1].time
    for count, window, kinds in policy.caps:
        if campaign.kind in kinds and (
            time <= newest - window
            or sum(e.kind in kinds and abs(e.time - time) < window for e in sent) >= count
        ):
            return "frequency_cap"
    window = policy.cooldowns[campaign.id]
    if window and (
        time <= newest - window
        or any(e.campaign == campaign.id and abs(e.time - time) < window for e in sent)
    ):
        return "cooldown"
    return None


def is_held_out(user_id: str, salt: str, share: float) -> bool:
    """Whether the first 8 bytes of SHA-256("salt:user_id"), as a fraction of 2^64, are below the share."""
    digest = hashlib.sha256(f"{salt}:{user_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2.0**64


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
    reasons = [_refusal(campaign, value, moment, contact, policy, held_out) for campaign, _, value in group]
    willing = [at for at, reason in enumerate(reasons) if reason == ""]
    if willing:
        winner = max(willing, key=lambda at: (group[at][0].priority, group[at][2], -at))
        for at in willing:
            reasons[at] = "outranked"
        reasons[winner] = standing_rule(contact, group[winner][0], moment.event_time, policy) or "emitted"
    eligible = [campaign.id for campaign, _, _ in group]
    propensities = {"emitted": 1.0 - holdout.share, "holdout": holdout.share}
    decisions = []
    for (campaign, score, value), reason in zip(group, reasons, strict=True):
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
            propensity=propensities.get(reason, 1.0),
            score=score,
            threshold=campaign.trigger.threshold,
            value=value,
            cost=campaign.value.cost_per_contact,
            release=release,
            policy_version=policy.version,
            scores=moment.scores,
        )
        if reason == "emitted":
            _emit(decision, campaign, moment, contact, contacts, policy)
        decisions.append(decision)
    return decisions


def _refusal(
    campaign: Campaign, value: float, moment: Moment, contact: Contact, policy: CompiledPolicy, held_out: bool
) -> str:
    """The first rule, of those that look at one campaign alone, that speaks against it; '' when none does."""
    if policy.policy.kill_switch or not campaign.enabled:
        return "kill_switch"
    if not contact.allows(campaign.kind, policy.consent[campaign.kind]):
        return "no_consent"
    if held_out:
        return "holdout"
    if not can_offer(campaign, moment):
        return "no_candidates"
    return "" if value >= campaign.value.minimum else "below_value"


def _emit(
    decision: Decision,
    campaign: Campaign,
    moment: Moment,
    contact: Contact,
    contacts: ContactBook,
    policy: CompiledPolicy,
) -> None:
    name = intervention_id(moment.event_id, campaign.id)
    decision.intervention = compose(campaign, moment, name, decision.decision_id, decision.decided_at)
    sent = Sent(campaign.id, campaign.kind, moment.event_time, name)
    contacts.put(moment.user_id, contact.after(sent, policy.reach))


def _moments(scored: Scored, rows: list[int]) -> Iterator[tuple[Moment, int, int, int]]:
    """(moment, row, first, last) of each event that has candidates [first, last)."""
    if not rows:
        return
    starts = [at for at, row in enumerate(rows) if at == 0 or row != rows[at - 1]]
    distinct = [rows[at] for at in starts]
    columns = zip(
        distinct,
        starts,
        [*starts[1:], len(rows)],
        scored.event_type[distinct].tolist(),
        scored.event_time[distinct].tolist(),
        scored.scores[distinct].tolist(),
        scored.top[distinct].tolist(),
        scored.top_scores[distinct].tolist(),
        strict=True,
    )
    for row, first, last, kind, time, scores, top, top_scores in columns:
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
        )
        yield moment, row, first, last
