"""A decision told to a person: the event, what was predicted, rule by rule what was asked and what it said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streams.cli.contents import moment, value
from streams.contacts import WITHHELD
from streams.learning.dealing import SHARES
from streams.policy import Campaign, Policy

Row = dict[str, Any]
# As streams/decide.py asks them: the first that speaks against it gives the reason.
RULES = (
    ("kill_switch", "kill switch"),
    ("no_consent", "consent"),
    ("bot", "robots and staff"),
    ("holdout", "hold-out"),
    ("not_eligible", "audience"),
    ("off_schedule", "schedule"),
    ("stale", "age of the event"),
    ("no_candidates", "something to offer"),
    ("below_value", "value"),
    ("outranked", "arbitration"),
    ("frequency_cap", "frequency caps"),
    ("cooldown", "cooldown"),
    ("after_purchase", "cooldown after a purchase"),
    ("quiet_hours", "quiet hours"),
    ("dry_run", "dry run"),
    ("control", "arm of the experiment"),
)
SHOWN_ITEMS = 8
SHOWN_SENT = 6
_NOTHING_SAID = "nothing said: the policy's default holds"


def contact(user: str, partition: int, row: Row | None) -> str:
    """Who it is about, what was sent and allowed so far."""
    sent = [] if row is None else row["sent"][-SHOWN_SENT:]
    consent = {} if row is None else row["consent"]
    said = ", ".join(f"{channel} {'yes' if granted else 'no'}" for channel, granted in consent.items())
    lines = [
        f"Shopper {user}, partition {partition}",
        f"  consent  {said or _NOTHING_SAID}",
    ]
    lines += [f"  sent     {moment(one['time'])}  {one['campaign']} ({one['kind']})" for one in sent]
    return "\n".join(lines if sent else [*lines, "  sent     nothing that a rule still counts"])


def event(decision: Row, found: Row | None, prediction: Row | None, before: Sequence[Row]) -> str:
    """The event that raised decisions, what came before it, and what was predicted after it."""
    if found is None:
        lines = [f"{moment(decision['event_time'])}  event {decision['event_id']}, no longer in the topic"]
    else:
        lines = [f"{event_words(found)}   (event {found['event_id']})"]
    lines += [f"  before     {event_words(row)}" for row in before]
    lines.append(f"  predicted  {scores(decision['scores'])}   by {decision['release']}")
    if prediction is not None:
        pairs = zip(prediction["next_categories"], prediction["next_category_scores"], strict=True)
        lines.append(f"  next       {', '.join(f'{name} {score:.2f}' for name, score in pairs)}")
    return "\n".join(lines)


def event_words(row: Row) -> str:
    """An event in one line."""
    parts = [moment(row["event_time"]), row["event_type"].replace("_", " ")]
    parts += [str(row[name]) for name in ("item_id", "category_id", "query") if row[name]]
    if row["price"] is not None:
        parts.append(f"{row['quantity'] or 1:g} for {row['price']:.2f}")
    parts += [f"{name} {found}" for name, found in row["properties"].items()]
    return "  ".join(parts)


def scores(found: dict[str, float]) -> str:
    """Scores in their order, two digits."""
    return ", ".join(f"{name} {score:.2f}" for name, score in found.items())


def decision(
    row: Row, about: Sequence[Row], policy: Policy | None, intervention: Row | None, now: Row | None
) -> str:
    """One campaign's choice, rule by rule. about: all decisions after the event; now: the contact row."""
    campaign = _campaign(policy, row["campaign"])
    lines = [
        f"  ► {row['campaign']} ({row['kind']}): {row['outcome'].replace('_', ' ')}, reason {row['reason']}"
    ]
    lines.append(f"      met   trigger: {_trigger(row, campaign)}")
    names = [name for name, _ in RULES]
    stop = names.index(row["reason"]) if row["reason"] in names else len(RULES)
    for at, (name, words) in enumerate(RULES):
        mark = "yes   " if at < stop else "NO    " if at == stop else "      "
        detail = _detail(name, row, about, policy, campaign, now) if at <= stop else "not asked any more"
        lines.append(f"      {mark}{words}{': ' + detail if detail else ''}")
    lines.append(
        f"      value {row['value']:.2f} after cost {row['cost']:.2f}, propensity {row['propensity']:.2f}, policy "
        f"{row['policy_version']}, decided {moment(row['decided_at'])}"
    )
    return "\n".join([*lines, *_dealt(row), *_sent(intervention)])


def _dealt(row: Row) -> list[str]:
    """By what the arm of the moment was drawn, where arms are learnt."""
    version = row.get("learned_version", "")
    by = "the policy's shares" if version == SHARES else f"what was learnt, version {version}"
    return [f"      arm {row['arm']}, drawn for this event by {by}"] if version else []


def _campaign(policy: Policy | None, name: str) -> Campaign | None:
    return None if policy is None else next((one for one in policy.campaigns if one.id == name), None)


def _trigger(row: Row, campaign: Campaign | None) -> str:
    if campaign is None:
        return f"score {row['score']:.2f} held against {row['threshold']:.2f}"
    trigger = campaign.trigger
    bounds = [
        f"{words} {bound:.2f}"
        for words, bound in (("at least", trigger.at_least), ("at most", trigger.at_most))
        if bound is not None
    ]
    return f"{trigger.score} {row['score']:.2f}, wanted {' and '.join(bounds)}"


def _detail(
    rule: str,
    row: Row,
    about: Sequence[Row],
    policy: Policy | None,
    campaign: Campaign | None,
    now: Row | None,
) -> str:
    """What the rule looked at, as far as it is known; campaign and policy are None for a version long gone."""
    if rule == "outranked":
        return _arbitration(row, about)
    if policy is None or campaign is None:
        return ""
    words = ""
    match rule:
        case "kill_switch":
            words = "off" if campaign.enabled else "this campaign is not enabled"
            words = "on for all campaigns" if policy.kill_switch else words
        case "no_consent":
            service = campaign.purpose == "service"
            default = getattr(policy.consent, "service" if service else row["kind"])
            named = f"{row['kind']} for service" if service else row["kind"]
            words = f"{named} is {default} unless the shopper said otherwise"
        case "holdout":
            drawn = "this shopper is among" if row["reason"] == "holdout" else "not among"
            words = f"{drawn} the {policy.holdout.share:.0%} who get nothing"
        case "below_value":
            words = f"{row['value']:.2f}, wanted at least {campaign.value.minimum:.2f}"
        case "frequency_cap":
            caps = [cap for cap in policy.frequency_caps if row["kind"] in cap.kinds]
            limits = (f"at most {cap.count} of {'/'.join(cap.kinds)} in {cap.hours:g} h" for cap in caps)
            words = _sent_before(row, now) + "; ".join(limits)
        case "after_purchase" if campaign.cooldown_after_purchase_hours:
            words = f"{campaign.cooldown_after_purchase_hours:g} h after the shopper bought anything"
        case "stale" if policy.max_age_minutes is not None:
            words = f"at most {policy.max_age_minutes:g} minutes"
        case "quiet_hours" if policy.quiet_hours:
            words = f"{row['time_zone']}, {campaign.in_quiet_hours}"
        case "control":
            words = row["arm"]
        case "cooldown":
            words = f"{_sent_before(row, now, campaign.id)}{campaign.cooldown_hours:g} h between two of {campaign.id}"
    return words


def _arbitration(row: Row, about: Sequence[Row]) -> str:
    if row["why"]:
        return str(row["why"])
    if row["reason"] != "outranked":
        return (
            f"best of {len(row['eligible'])} for this event"
            if len(row["eligible"]) > 1
            else "the only candidate"
        )
    winners = [one["campaign"] for one in about if one["reason"] in ("emitted", "frequency_cap", "cooldown")]
    return f"this event went to {winners[0]}" if winners else "another campaign of this event has priority"


def _sent_before(row: Row, now: Row | None, campaign: str | None = None) -> str:
    """What had been sent when the event came, for the rule that held it back."""
    reason = "cooldown" if campaign else "frequency_cap"
    if now is None or row["reason"] != reason:
        return ""
    sent = [
        one
        for one in now["sent"]
        if one["time"] <= row["event_time"]
        and (one["campaign"] == campaign if campaign else one["kind"] != WITHHELD)
    ]
    if not sent:
        return ""
    did = "withheld, by its arm," if sent[-1]["kind"] == WITHHELD else "sent"
    return f"{sent[-1]['campaign']} was {did} {moment(sent[-1]['time'])}; "


def _sent(row: Row | None) -> list[str]:
    if row is None:
        return []
    payload = row[row["kind"]] if row["kind"] in ("coupon", "push", "rerank") else {}
    lines = [f"      sent  {row['reason']}"]
    if row["kind"] == "coupon":
        where = payload["category_id"] or "the whole basket"
        lines.append(
            f"            {payload['value']:.2f} on {where}, from a basket of {payload['minimum_spend']:.2f}"
        )
    elif row["kind"] == "push":
        variables = value(payload["variables"])
        lines.append(
            f"            template {payload['template']} {variables}, not before {moment(payload['send_after'])}"
        )
    elif row["kind"] == "rerank":
        more = len(payload["items"]) - SHOWN_ITEMS
        shown = ", ".join(payload["items"][:SHOWN_ITEMS])
        lines.append(f"            {shown}{f' and {more} more' if more > 0 else ''}")
    return [*lines, f"            until {moment(row['expires_at'])}, intervention {row['intervention_id']}"]
