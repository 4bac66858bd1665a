"""What may speak against a campaign for one event: first what looks at it alone, then what looks at what was sent.

All is judged in event time and by what the shopper's log says up to the event, so that a replay decides as live did.
The one clock is that of `max_age_minutes`: where a policy sets it, `now` is held against the event's time, and a
message that would go out late counts as sent `now`. `decide` is given `now`: live the wall clock, which every
decision records as `decided_at`; a replay passes that again, or none, and then only the shopper's own newer events
make an event old. A policy without `max_age_minutes` never looks at a clock.
"""

from __future__ import annotations

import math

from streams.compiled import CompiledPolicy, Rules
from streams.contacts import WITHHELD, Contact, Sent
from streams.interventions import Moment, can_offer, due
from streams.local_time import first_outside, local, within, zone_of
from streams.policy import Campaign

JUDGED_EVENTS = (
    30  # earlier events of a shopper before the rate says anything: a page may send several at once
)
_YES = ("true", "1", "yes")


def refusal(  # noqa: PLR0911 - one return per rule
    campaign: Campaign,
    value: float,
    moment: Moment,
    contact: Contact,
    policy: CompiledPolicy,
    held_out: bool,
    bot: bool,
) -> str:
    """The first rule, of those that look at one campaign alone, that speaks against it; '' when none does."""
    rules = policy.rules[campaign.id]
    if policy.policy.kill_switch or not campaign.enabled:
        return "kill_switch"
    if not contact.allows(campaign.kind, campaign.purpose, rules.consent):
        return "no_consent"
    if bot:
        return "bot"
    if held_out:
        return "holdout"
    if rules.audience is not None and not in_audience(rules, moment):
        return "not_eligible"
    if not on_schedule(rules, moment.event_time, contact.time_zone or policy.zone):
        return "off_schedule"
    if is_stale(moment, policy):
        return "stale"
    if not can_offer(campaign, moment):
        return "no_candidates"
    return "" if value >= campaign.value.minimum else "below_value"


def is_bot(moment: Moment, policy: CompiledPolicy) -> bool:
    """Whether the user id, a property of the event or the rate of events marks a robot, staff or a test shopper."""
    if policy.bots is not None and policy.bots.match(moment.user_id):
        return True
    rate = policy.policy.bots.events_per_minute
    if rate is not None and moment.events >= JUDGED_EVENTS:
        minutes = (max(moment.latest, moment.event_time) - moment.first) / 60_000
        if moment.events > rate * minutes:
            return True
    marks = policy.bot_properties
    return bool(marks) and any(name in marks and word.lower() in _YES for name, word in moment.properties)


def is_stale(moment: Moment, policy: CompiledPolicy) -> bool:
    """Whether `now`, or else the shopper's newest event so far, is more than max_age_minutes after the event.

    Of what waited, after its hour.
    """
    if policy.max_age is None:
        return False
    return max(moment.now or 0, moment.latest) - max(moment.event_time, moment.at) > policy.max_age


def in_audience(rules: Rules, moment: Moment) -> bool:
    """Whether the campaign is for this shopper and this event."""
    audience = rules.audience
    assert audience is not None
    return (
        _between(moment.events, audience.events_at_least, audience.events_at_most)
        and _between(moment.sessions, audience.sessions_at_least, audience.sessions_at_most)
        and audience.bought in (None, moment.purchased > 0)
        and (audience.categories is None or moment.category_id in audience.categories)
        and (rules.devices is None or moment.device in rules.devices)
        and (rules.users is None or rules.users.match(moment.user_id) is not None)
    )


def on_schedule(rules: Rules, time: int, zone: str) -> bool:
    """Whether day and hour, as the shopper's clock shows them, are among the campaign's."""
    if rules.first_day is None and rules.last_day is None and not rules.hours:
        return True
    day = local(time, zone_of(zone)).date().isoformat()
    return (
        (rules.first_day is None or day >= rules.first_day)
        and (rules.last_day is None or day <= rules.last_day)
        and (not rules.hours or within(rules.hours, time, zone_of(zone)))
    )


def time_to_send(
    campaign: Campaign, moment: Moment, contact: Contact, policy: CompiledPolicy
) -> tuple[int, bool]:
    """When it goes out, ms of event time, and whether quiet hours forbid it.

    A message of a campaign that defers goes out when they end, unless it expires before.
    """
    wanted, expires = due(campaign, moment)
    if wanted >= expires:  # the policy lets it expire sooner than when it was set to wait
        return wanted, True
    actual = wanted if policy.max_age is None else max(wanted, moment.now or 0)
    quiet = policy.rules[campaign.id].quiet
    if not quiet:
        return wanted, False
    opening = first_outside(quiet, actual, zone_of(contact.time_zone or policy.zone))
    if opening == actual:
        return wanted, False
    if campaign.in_quiet_hours == "defer" and opening is not None and opening < expires:
        return opening, False
    return wanted, True


def standing_rule(
    contact: Contact, campaign: Campaign, time: int, out: int, policy: CompiledPolicy
) -> str | None:
    """'frequency_cap' or 'cooldown' when what was sent forbids this campaign, else None.

    time: of the event; out: when it would go out, not before `time`; both ms. Events come late, so a rule with window W
    counts what goes out less than W before *or after* `out`: then no window of length W anywhere can hold more than its
    count. An event W or more older than the newest that was acted on is refused as well: contacts are kept only 2 W
    back from that, so its own past can no longer be judged. What an arm that is learnt withheld counts for the cooldown of its
    campaign, else the next event would draw again and the sent would follow the withheld; for other rules it is not there.
    """
    if not contact.sent:
        return None
    own = [e for e in contact.sent if e.kind != WITHHELD or e.campaign == campaign.id]
    sent = [e for e in own if e.kind != WITHHELD]
    newest = _newest(sent)
    for count, window, kinds in policy.caps:
        if campaign.kind in kinds and (
            time <= newest - window
            or sum(e.kind in kinds and abs(e.out - out) < window for e in sent) >= count
        ):
            return "frequency_cap"
    rules = policy.rules[campaign.id]
    window = rules.cooldown
    if window and (
        time <= _newest(own) - window
        or any(e.campaign == campaign.id and abs(e.out - out) < window for e in own)
    ):
        return "cooldown"
    window = rules.kind_cooldown
    if window and (
        time <= newest - window or any(e.kind == campaign.kind and abs(e.out - out) < window for e in sent)
    ):
        return "cooldown"
    return None


def _newest(sent: list[Sent]) -> float:
    return sent[-1].time if sent else -math.inf


def bought_lately(campaign: Campaign, moment: Moment, policy: CompiledPolicy) -> bool:
    """Whether the shopper's latest purchase is too near, or after the event, which came late."""
    window = policy.rules[campaign.id].after_purchase
    return window > 0 and moment.purchased > 0 and moment.event_time < moment.purchased + window


def _between(number: int, least: int | None, most: int | None) -> bool:
    return (least is None or number >= least) and (most is None or number <= most)
