"""Whether to step in: a pure function of predictions, contacts, timers, policy and the events' own times.

It follows `score` in the pass over a batch and hands `publish` a decision for every candidate: an event after which a
campaign is to be considered and whose score is within the campaign's bounds. Candidates are found column by column;
only they, and the events of shoppers for whom a timer runs, are walked one by one, in the order of the log, so that where
a batch was cut makes no difference. A campaign that waits for a pause arms a timer instead, and is decided when it rings.

Rules, in this order: kill switch, consent, robots and staff, hold-out, eligibility (audience, schedule, age of the
event, something to offer), value, arbitration, frequency cap, cooldowns, quiet hours, budget, dry run, control arm. The first
that speaks gives the reason. Arbitration is before the caps: an event has one winner, and when that winner must wait
nobody takes its place. What is only tried (dry run, control arm) is asked last, so that it is written down exactly
where something would have been sent; no cap counts it.
"""

import logging
from collections import deque
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from models.events import EVENT_TYPES
from streams.candidates import Candidates, Scored, find_candidates
from streams.choosing import Deciding, Wanting, choose, is_held_out, withdrawn
from streams.compiled import CompiledPolicy
from streams.contacts import ContactBook
from streams.interventions import Decision, Moment
from streams.lookups import looked_up
from streams.moments import moments
from streams.policy import Campaign
from streams.rules import standing_rule
from streams.timers import Timer, kept

log = logging.getLogger("intentflow.decide")
__all__ = ["CompiledPolicy", "Decision", "Scored", "decide", "is_held_out", "ring", "standing_rule"]


def decide(
    scored: Scored, contacts: ContactBook, policy: CompiledPolicy, decided_at: int, now: int | None = None
) -> list[Decision]:
    """A decision for every candidate of the batch, in the order of the log; changes the contacts and timers of the book.

    `decided_at` is the wall clock, ms, and is only recorded: all state is in event time. `now`, ms, is held against the
    age of events where the policy has max_age_minutes (see `rules`); None: event time alone counts. The same batch with
    the same contacts, policy and `now` gives the same decisions. Raises ValueError when the batch was scored for other
    tasks than the policy.
    """
    if scored.tasks != policy.tasks:
        raise ValueError(
            f"scores are for {scored.tasks}, the policy was compiled for {policy.tasks}; compile it again"
        )
    deciding = Deciding(contacts, policy, decided_at)
    timers, candidates = contacts.timers, find_candidates(scored, policy)
    wanting = _by_row(candidates, policy)
    rows = list(wanting)
    touched = _touched(scored, wanting, contacts)
    users = scored.user_ids
    contacts.fetch([*(users[row] for row in rows), *(said.user for said in scored.said)])
    times = scored.event_time if now is None else np.minimum(scored.event_time, now)  # clocks that run ahead
    mark = np.maximum.accumulate(np.append(timers.watermark, times - timers.lateness)).tolist()
    items = looked_up(scored.look_ups, wanting, policy)
    unheard, found = deque(scored.said), moments(scored, rows, now, policy.catalogue, items)
    decisions: list[Decision] = []
    for row in sorted({*rows, *touched, *(said.row for said in scored.said if said.row < len(users))}):
        decisions += ring(deciding, mark[row], now)  # before what is said here
        while unheard and unheard[0].row <= row:
            contacts.hear(unheard.popleft())
        decisions += ring(deciding, mark[row + 1], now)
        if row in touched:
            timers.hear(users[row], EVENT_TYPES[scored.event_type[row]], int(scored.event_time[row]))
            timers.learn(users[row], int(scored.context["purchase_time"][row]))
        if row in wanting:
            decisions += _decide_event(deciding, next(found), wanting[row], scored.release, mark[row + 1])
    timers.watermark = mark[-1]
    decisions += ring(deciding, timers.watermark, now)
    for said in unheard:
        contacts.hear(said)
    return decisions


def ring(deciding: Deciding, until: int, now: int | None) -> Iterator[Decision]:
    """The decisions of all timers that are due by `until`, ms of event time."""
    for together in deciding.contacts.timers.ring(until):
        groups: dict[str, list[Timer]] = {}  # pauses after one event; each message alone
        for timer in sorted(together, key=lambda timer: timer.sent is not None):
            groups.setdefault(timer.sent or timer.moment.event_id, []).append(timer)
        for timers in groups.values():
            yield from _apart(deciding, timers, now)


def _apart(deciding: Deciding, timers: list[Timer], now: int | None) -> list[Decision]:
    """The same as `_ripe`, or, when that raises: they are withdrawn, and all else is as it was before them."""
    contacts, user = deciding.contacts, timers[0].moment.user_id
    contact, spent, waiting = contacts.get(user), contacts.budgets.spending(), contacts.timers.of(user)
    try:
        return list(_ripe(deciding, timers, now))
    except MemoryError:
        raise
    except Exception as fault:
        names = ", ".join(timer.campaign for timer in timers)
        log.error(
            "%s, waiting since event %s, raises; withdrawn", names, timers[0].moment.event_id, exc_info=fault
        )
        contacts.budgets.back_to(spent)
        contacts.timers.drop(user, waiting, len(timers))
        for timer in timers:
            contact = contact.without(timer.sent) if timer.sent else contact
            if timer.paid:
                contacts.budgets.refund(timer.campaign, *timer.paid)
        contacts.put(user, contact)
        why = f"deciding it raised {type(fault).__name__}: {fault}"
        return [withdrawn(deciding, timer, replace(timer.ripe(), now=now), why) for timer in timers]


def _ripe(deciding: Deciding, timers: list[Timer], now: int | None) -> Iterator[Decision]:
    """What becomes of campaigns whose pause is over together, or of a message whose hour has come."""
    first = timers[0]
    moment, group = replace(first.ripe(), now=now), []
    user, contacts = moment.user_id, deciding.contacts
    if first.sent is not None:
        contacts.put(user, contacts.get(user).without(first.sent))
    for timer in timers:
        campaign = deciding.policy.by_id.get(timer.campaign)
        gone = timer.drawn and campaign and not deciding.policy.has_arm(campaign, timer.drawn)
        if campaign is None or gone or not _still_wanted(campaign, moment):
            if timer.paid:
                contacts.budgets.refund(timer.campaign, *timer.paid)
            yield withdrawn(deciding, timer, moment)
            continue
        value = campaign.value.expected(moment.scores[campaign.value_score])
        group.append((campaign, moment.scores[campaign.trigger.score], value))
    if group:
        group.sort(key=lambda one: deciding.policy.campaigns.index(one[0]))
        decisions = choose(deciding, moment, group, first.release, first if first.sent else None)
        if first.paid and decisions[0].reason not in ("emitted", "deferred"):
            contacts.budgets.refund(first.campaign, *first.paid)
        yield from decisions


def _still_wanted(campaign: Campaign, moment: Moment) -> bool:
    """Whether the policy of now would consider it, by the scores of then."""
    trigger = campaign.trigger
    if not {trigger.score, campaign.value_score} <= moment.scores.keys():
        return False
    score = np.float32(moment.scores[trigger.score])
    return bool(
        (trigger.at_least is None or score >= np.float32(trigger.at_least))
        and (trigger.at_most is None or score <= np.float32(trigger.at_most))
    )


def _decide_event(
    deciding: Deciding, moment: Moment, group: list[Wanting], release: str, mark: int
) -> list[Decision]:
    at_once = [one for one in group if not one[0].trigger.idle_minutes]
    if len(at_once) < len(group) and moment.latest <= moment.event_time:  # else the pause is over already
        # Of an event that comes late, as in an upload: what the shopper did after it may follow at once.
        soonest = mark + deciding.contacts.timers.lateness + 1
        for campaign, _, _ in group:
            if campaign.trigger.idle_minutes:
                due = max(soonest, moment.event_time + round(campaign.trigger.idle_minutes * 60_000))
                waiting = Timer(due, campaign.id, campaign.kind, release, kept(moment))
                deciding.contacts.timers.arm(waiting)
    return choose(deciding, moment, at_once, release) if at_once else []


def _by_row(candidates: Candidates, policy: CompiledPolicy) -> dict[int, list[Wanting]]:
    """The campaigns that want an event, by its row; rows rise."""
    found: dict[int, list[Wanting]] = {}
    for row, at, score, value in zip(
        candidates.row.tolist(),
        candidates.campaign.tolist(),
        candidates.score.tolist(),
        candidates.value.tolist(),
        strict=True,
    ):
        found.setdefault(row, []).append((policy.campaigns[at], score, value))
    return found


def _touched(scored: Scored, wanting: dict[int, list[Wanting]], contacts: ContactBook) -> frozenset[int]:
    """Rows of shoppers for whom a timer runs, or may from this batch on."""
    timers, users = contacts.timers, scored.user_ids
    arming = {
        users[row]
        for row, group in wanting.items()
        if any(one[0].trigger.idle_minutes or one[0].kind == "push" for one in group)
    }
    if not timers and not arming:
        return frozenset()
    waiting = timers.users
    return frozenset([row for row, user in enumerate(users) if user in arming or user in waiting])
