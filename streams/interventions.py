"""What is sent and what is recorded: payloads of the three kinds, the sentence that says why, rows for the topics.

`decide` chooses; this file words it. `decision_row` and `intervention_row` are what the codecs of the topics
`decisions` and `interventions` take.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from functools import lru_cache
from typing import Any

from models.item_head import Next
from streams.catalogue import Catalogue
from streams.policy import (
    NEXT,
    Campaign,
    CouponCampaign,
    PushCampaign,
    PushPayload,
    RerankCampaign,
    RerankPayload,
    Trigger,
)
from streams.ranking import by_head, offered, rank

_DAY, _HOUR, _MINUTE = 86_400_000, 3_600_000, 60_000  # ms
_EPOCH = date(1970, 1, 1).toordinal()


@dataclass(slots=True)
class Moment:
    """One event with what was predicted after it: all that a payload is made of."""

    user_id: str
    event_id: str
    prediction_id: str
    event_type: str
    event_time: int  # ms; when a pause was over, where the campaign waits for one
    scores: dict[str, float]  # probability by task
    top: list[int]  # most likely next categories, best first
    top_scores: list[float]  # their probabilities
    categories: Sequence[str]  # names of what `top` points at
    popular: Mapping[str, Sequence[str]]  # item ids by category, most bought first
    category_id: str | None  # the event's own
    device: int  # index in DEVICES
    properties: Sequence[tuple[str, str]]  # the event's own
    context: bytes  # CONTEXT of the shopper before the event, of which the following are parts
    events: int
    sessions: int
    purchased: int  # latest purchase, ms; 0: none
    latest: int  # newest event, ms; 0: none
    first: int  # first event, ms; 0: none
    now: int | None  # clock, ms; None: event time alone counts
    at: int  # ms, event time: when it is decided; after the event where a timer rang
    catalogue: Catalogue | None = None  # what a list may show; None: every item
    items: Sequence[Next] | None = (
        None  # likeliest next ones that may be shown, best first; None: not looked up
    )

    @property
    def next_categories(self) -> list[tuple[str, float]]:
        """The most likely next categories with their probability, best first."""
        return [(self.categories[at], score) for at, score in zip(self.top, self.top_scores, strict=True)]


@dataclass(slots=True)
class Intervention:
    """One row of `interventions`: fields as in schemas/intervention.avsc, one of the three payloads set."""

    intervention_id: str
    decision_id: str
    user_id: str
    kind: str
    campaign: str
    event_time: int  # ms
    emitted_at: int  # ms, wall clock
    expires_at: int  # ms, event time
    reason: str
    coupon: dict[str, Any] | None = None
    push: dict[str, Any] | None = None
    rerank: dict[str, Any] | None = None
    arm: str = ""


@dataclass(slots=True)
class Decision:
    """One row of `decisions`: fields as in schemas/decision.avsc; with its intervention when the outcome is emit.

    `propensity` is the probability, over draws of the salts of hold-out and experiment, of the action taken: `1 - share`
    of the hold-out times the arm's share (its chance in this moment, where arms are learnt; of what waited, when it was
    drawn) when an intervention was emitted or withheld as the arm says, the hold-out's
    `share` when it was withheld for that, and 1.0 when the rules leave no other action (kill switch, consent, value,
    arbitration, caps, dry run: nothing is sent whichever way the draws fall).
    """

    decision_id: str
    event_id: str
    prediction_id: str
    user_id: str
    event_time: int  # ms
    decided_at: int  # ms, wall clock
    campaign: str
    kind: str
    outcome: str  # emit, held_back, nothing
    reason: str
    eligible: list[str]
    propensity: float
    score: float
    threshold: float
    value: float  # shop's currency
    cost: float  # shop's currency
    release: str
    policy_version: str
    scores: dict[str, float]
    purpose: str
    arm: str
    learned_version: str  # of what the arm was drawn by; 'shares': the policy's; '': it is the shopper's
    time_zone: str
    send_after: int | None  # ms, event time
    why: str
    history_digest: str
    attribution_hours: float = 168.0
    coupon_value: float = 0.0  # shop's currency; 0: no coupon was published
    intervention: Intervention | None = None


_DECISION_FIELDS = [f.name for f in fields(Decision) if f.name != "intervention"]
_INTERVENTION_FIELDS = [f.name for f in fields(Intervention)]


def decision_row(decision: Decision) -> dict[str, Any]:
    """The decision as a row of schemas/decision.avsc."""
    row = {name: getattr(decision, name) for name in _DECISION_FIELDS}
    row["intervention_id"] = decision.intervention and decision.intervention.intervention_id
    return row


def intervention_row(intervention: Intervention) -> dict[str, Any]:
    """The intervention as a row of schemas/intervention.avsc."""
    return {name: getattr(intervention, name) for name in _INTERVENTION_FIELDS}


def can_offer(campaign: Campaign, moment: Moment) -> bool:
    """Whether the prediction names what the campaign would offer: a next category, items to put in order."""
    if isinstance(campaign, RerankCampaign):
        likely = [moment.categories[at] for at in moment.top]
        return offered(campaign.payload, likely, moment.popular, moment.catalogue, moment.items)
    if isinstance(campaign, CouponCampaign):
        return campaign.payload.category != NEXT or bool(moment.top)
    return True


def due(campaign: Campaign, moment: Moment) -> tuple[int, int]:
    """When the intervention is to go out, and when it expires; ms, event time."""
    start, payload = moment.event_time, campaign.payload
    if isinstance(payload, RerankPayload):
        return start, start + round(payload.expires_minutes * _MINUTE)
    delay = round(payload.send_after_minutes * _MINUTE) if isinstance(payload, PushPayload) else 0
    return max(start + delay, moment.at), start + round(payload.expires_hours * _HOUR)


def compose(
    campaign: Campaign,
    moment: Moment,
    intervention_id: str,
    decision_id: str,
    emitted_at: int,
    send_after: int,
    arm: str = "",
) -> Intervention:
    """The intervention of a campaign for this moment; `can_offer` must hold. Same input, same result."""
    start, (_, expires_at) = moment.event_time, due(campaign, moment)
    coupon = push = rerank = None
    if isinstance(campaign, CouponCampaign):
        coupon = _coupon(campaign, moment)
        what = _coupon_words(coupon, campaign, moment)
    elif isinstance(campaign, PushCampaign):
        push = _push(campaign.payload, campaign.trigger, moment, send_after)
        what = f"message {push['template']}, not before {_minute(push['send_after'])} UTC"
    else:
        rerank = _rerank(campaign.payload, moment, f"{moment.event_id}:{campaign.id}")
        what = _list_words(rerank, campaign.payload, moment)
    return Intervention(
        intervention_id=intervention_id,
        decision_id=decision_id,
        user_id=moment.user_id,
        kind=campaign.kind,
        campaign=campaign.id,
        event_time=start,
        emitted_at=emitted_at,
        expires_at=expires_at,
        reason=f"{_why(campaign.trigger, moment)}; {what}",
        coupon=coupon,
        push=push,
        rerank=rerank,
        arm=arm,
    )


def _coupon(campaign: CouponCampaign, moment: Moment) -> dict[str, Any]:
    payload = campaign.payload
    category = moment.categories[moment.top[0]] if payload.category == NEXT else payload.category
    return {"value": payload.value, "category_id": category, "minimum_spend": payload.minimum_spend}


def _coupon_words(coupon: dict[str, Any], campaign: CouponCampaign, moment: Moment) -> str:
    category = coupon["category_id"]
    where = "the whole basket" if category is None else category
    if campaign.payload.category == NEXT:
        where += f", the most likely next category ({moment.top_scores[0]:.2f})"
    return f"coupon of {coupon['value']:.2f} on {where}"


def _push(payload: PushPayload, trigger: Trigger, moment: Moment, send_after: int) -> dict[str, Any]:
    filling = {
        "user_id": moment.user_id,
        "next_category": moment.categories[moment.top[0]] if moment.top else "",
        "score": f"{moment.scores[trigger.score]:.2f}",
        "event_date": _day(moment.event_time // _DAY),
    }
    return {
        "template": payload.template,
        "variables": {name: text.format_map(filling) for name, text in payload.variables.items()},
        "send_after": send_after,
    }


def _rerank(payload: RerankPayload, moment: Moment, seed: str) -> dict[str, Any]:
    likely, items = moment.next_categories, moment.items
    return rank(payload, likely, moment.popular, moment.catalogue, seed, items)


def _list_words(rerank: dict[str, Any], payload: RerankPayload, moment: Moment) -> str:
    count = len(rerank["items"])
    if by_head(payload, moment.items):
        return f"list of {count} items, those most likely next"
    return f"list of {count} popular items from {', '.join(dict.fromkeys(rerank['categories']))}, the most likely next"


def _why(trigger: Trigger, moment: Moment) -> str:
    event = moment.event_type.replace("_", " ")
    article = "an" if event[0] in "aeiou" else "a"
    score = moment.scores[trigger.score]
    on = _day(moment.event_time // _DAY)
    pause = f" and {trigger.idle_minutes:g} quiet minutes" if trigger.idle_minutes else ""
    return f"{_task_words(trigger.score)} {score:.2f} ({_bound_words(trigger)}) after {article} {event}{pause} on {on}"


def _task_words(task: str) -> str:
    """'lapse_30d' -> 'Silent for 30 days with probability'; a task of another form is named as it is."""
    verb, _, days = task.partition("_")
    if verb in ("buy", "lapse") and days.endswith("d") and days[:-1].isdigit():
        start = "Buys again within" if verb == "buy" else "Silent for"
        return f"{start} {days[:-1]} days with probability"
    return f"Score {task} of"


def _bound_words(trigger: Trigger) -> str:
    if trigger.at_most is None:
        return f"threshold {trigger.at_least:.2f}"
    if trigger.at_least is None:
        return f"at most {trigger.at_most:.2f}"
    return f"between {trigger.at_least:.2f} and {trigger.at_most:.2f}"


@lru_cache(4096)
def _day(days: int) -> str:
    """Days since 1970 as 2017-11-03 (UTC); formatting a date costs more than all the rest of a sentence."""
    return date.fromordinal(_EPOCH + days).isoformat()


def _minute(time: int) -> str:
    minutes = time // _MINUTE % (24 * 60)
    return f"{_day(time // _DAY)} {minutes // 60:02}:{minutes % 60:02}"
