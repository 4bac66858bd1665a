"""What is kept of a shopper to tell what came of a decision, and the outcome as a pure function of it. No Kafka here.

Assigned, and so claimed, is every decision at which the hold-out was asked: emitted, held out, control, and whatever was
held back or not worth it by a later rule. Only then is what the hold-out did comparable with what the others did; a kill
switch, missing consent and robots are asked before, and have no outcome.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from models.effect.assigned import NOT_ASSIGNED, is_draw
from models.predictions import NAMESPACE

DEEDS = ("purchase", "return", "coupon_redeem", "intervention_exposed", "withdrawal")
# Of the decision, told so that outcomes alone suffice to learn from.
LEARNT_FROM = ("scores", "propensity", "policy_version", "time_zone")
_HOUR = 3_600_000


class Kept(NamedTuple):
    """A record as it came, for the dead letter that it may become."""

    offset: int
    timestamp: int  # ms
    value: bytes
    headers: tuple[tuple[str, bytes | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Deed:
    """An event that may count. kind: one of DEEDS; amount: spend, worth returned or discount, None where not told."""

    event_id: str
    kind: str
    time: int  # ms
    amount: float | None = None
    margin: float | None = None
    order: str = ""
    intervention_id: str | None = None
    record: Kept | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A decision with the window (time, until], ms. revision 0: its outcome was not told yet.

    scores, propensity, policy_version, time_zone: of the decision, where an arm that is learnt was drawn for it.
    """

    decision_id: str
    campaign: str
    reason: str
    arm: str
    time: int
    until: int
    intervention_id: str | None = None
    revision: int = 0
    told: str = ""
    closed: bool = False  # when it was told last
    scores: Mapping[str, float] = field(default_factory=dict)
    propensity: float = 0.0
    policy_version: str = ""
    time_zone: str = ""


class Published(NamedTuple):
    """An intervention of the shopper. cost: of the contact, 0 for coupons, whose cost is what is redeemed."""

    intervention_id: str
    time: int
    kind: str
    value: float = 0.0
    cost: float = 0.0


@dataclass(slots=True)
class Shopper:
    """Claims by decision, deeds by event, interventions by their id."""

    claims: dict[str, Claim] = field(default_factory=dict)
    deeds: dict[str, Deed] = field(default_factory=dict)
    published: dict[str, Published] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.claims or self.deeds or self.published)

    def is_known(self, deed: Deed) -> bool:
        """Whether the intervention that the deed names, if it names one, is one that fits it."""
        if deed.intervention_id is None:
            return True
        found = self.published.get(deed.intervention_id)
        return found is not None and (deed.kind != "coupon_redeem" or found.kind == "coupon")


def claim_of(row: Mapping[str, Any]) -> Claim | None:
    """The claim of a row of schemas/decision.avsc; None when nothing was assigned."""
    if row["reason"] in NOT_ASSIGNED:
        return None
    until = row["event_time"] + max(round(row["attribution_hours"] * _HOUR), 0)
    return Claim(
        row["decision_id"],
        row["campaign"],
        row["reason"],
        row["arm"],
        row["event_time"],
        until,
        row["intervention_id"],
        **({name: row[name] for name in LEARNT_FROM} if is_draw(row) else {}),
    )


def published_of(row: Mapping[str, Any]) -> Published | None:
    """The intervention behind a row of schemas/decision.avsc, if one was published."""
    name = row["intervention_id"]
    if name is None:
        return None
    cost = 0.0 if row["kind"] == "coupon" else row["cost"]
    return Published(name, row["event_time"], row["kind"], row["coupon_value"], cost)


def outcome_of(user: str, claim: Claim, shopper: Shopper) -> dict[str, Any]:
    """The outcome as a row of schemas/outcome.avsc, without revision, complete and what is told to learn from. It depends on
    no order."""
    within = sorted(
        (deed for deed in shopper.deeds.values() if claim.time < deed.time <= claim.until),
        key=lambda deed: (deed.time, deed.event_id),
    )
    bought = [deed for deed in within if deed.kind == "purchase"]
    redeemed = [d for d in within if d.kind == "coupon_redeem" and d.intervention_id and shopper.is_known(d)]
    shown = [
        deed
        for deed in within
        if deed.kind == "intervention_exposed" and deed.intervention_id == claim.intervention_id is not None
    ]
    contacts = [one for one in shopper.published.values() if claim.time <= one.time <= claim.until]
    margins = [deed.margin for deed in bought if deed.margin is not None]
    kind, came = next(
        (
            (name, found)
            for name, found in (("converted", bought), ("redeemed", redeemed), ("exposed", shown))
            if found
        ),
        ("none", []),
    )
    return {
        "outcome_id": str(uuid.uuid5(NAMESPACE, f"outcome:{claim.decision_id}")),
        "decision_id": claim.decision_id,
        "user_id": user,
        "kind": kind,
        "outcome_time": came[0].time if came else claim.until,
        "revenue": _sum(deed.amount for deed in bought),
        "campaign": claim.campaign,
        "reason": claim.reason,
        "arm": claim.arm,
        "event_time": claim.time,
        "window_end": claim.until,
        "purchases": len(bought),
        "orders": len({deed.order for deed in bought}),
        "margin": _sum(margins) if margins else None,
        "returned": _sum(deed.amount for deed in within if deed.kind == "return"),
        "exposures": len(shown),
        "redemptions": len(redeemed),
        "coupon_cost": _off(redeemed, shopper),
        "own_coupon_cost": _off([d for d in redeemed if d.intervention_id == claim.intervention_id], shopper),
        "contacts": len(contacts),
        "contact_cost": _sum(one.cost for one in sorted(contacts)),
        "unsubscribed": any(deed.kind == "withdrawal" for deed in within),
    }


def _off(redeemed: Iterable[Deed], shopper: Shopper) -> float:
    """What coupons took off."""
    return _sum(
        shopper.published[str(deed.intervention_id)].value if deed.amount is None else deed.amount
        for deed in redeemed
    )


def _sum(amounts: Iterable[float | None]) -> float:
    return float(sum(amount for amount in amounts if amount is not None))
