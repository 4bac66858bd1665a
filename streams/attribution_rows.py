"""Between records and the join: deeds of decoded events, rows of outcomes-changelog, dead letters of refused deeds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import Message

from schemas.columns import plain_rows
from streams.attribution import Refused
from streams.claims import Claim, Deed, Kept, Published, Shopper
from streams.contacts import FORGET, read_consent
from streams.decode import Dead, Events

RETURNS = ("return", "refund")
NAMING = ("coupon_redeem", "intervention_exposed")  # count only where they name an intervention
_TYPES = pa.array(["purchase", *RETURNS, *NAMING, "consent", FORGET])
_COLUMNS = ["event_id", "user_id", "event_type", "event_time", "price", "session_id", "properties"]
MESSAGES = {
    "unknown_intervention": "intervention_id {name!r} was published to this shopper by no decision that is remembered; "
    "mend: report the id that stands in `interventions`, with the user_id that stands there",
    "no_such_coupon": "intervention_id {name!r} is no coupon that was published to this shopper; mend: name the coupon's "
    "own intervention, or leave intervention_id out for coupons of the shop",
}


class Record(NamedTuple):
    """A record as `dead_letters` takes it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


def deeds_of(events: Events, messages: Mapping[int, Message]) -> Iterator[tuple[str, Deed | None]]:
    """(user, deed) of each event that may count, in log order; None for a deed: forget the shopper.

    messages: the records by offset. What names no intervention and only then would count, is the shop's own, and passes.
    """
    wanted = pc.is_in(events.columns.column("event_type"), _TYPES)
    if not pc.any(wanted).as_py():
        return
    offsets = events.offsets[wanted.to_numpy(zero_copy_only=False)].tolist()
    rows = plain_rows(events.columns.select(_COLUMNS).filter(wanted))
    for row, offset in zip(rows, offsets, strict=True):
        user, kind = row["user_id"], row["event_type"]
        if kind == FORGET:
            yield user, None
            continue
        deed = _deed(row, messages[offset])
        if deed is not None:
            yield user, deed


def _deed(row: Mapping[str, Any], message: Message) -> Deed | None:
    said, kind = row["properties"], row["event_type"]
    if kind == "consent":
        word = read_consent(said)
        withdrawn = word is not None and not word[1]
        return Deed(row["event_id"], "withdrawal", row["event_time"]) if withdrawn else None
    if kind in NAMING:
        name = said.get("intervention_id")
        if not name:
            return None
        discount = _number(said.get("discount")) if kind == "coupon_redeem" else None
        return Deed(
            row["event_id"], kind, row["event_time"], discount, intervention_id=name, record=_kept(message)
        )
    order = row["session_id"] or f"@{row['event_time']}"
    kind = "return" if kind in RETURNS else kind
    return Deed(row["event_id"], kind, row["event_time"], row["price"], _number(said.get("margin")), order)


def _number(text: str | None) -> float | None:
    """A number that a property tells; None for what is none, which counts as not told."""
    try:
        found = float(text or "")
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _kept(message: Message) -> Kept:
    headers: Any = message.headers() or ()
    return Kept(message.offset() or 0, message.timestamp()[1], bytes(message.value() or b""), tuple(headers))


def dead(refused: Refused, topic: str, partition: int) -> Dead:
    """The dead letter of a deed that named what was never published."""
    kept, name = refused.deed.record, refused.deed.intervention_id
    assert kept is not None
    record = Record(
        topic, partition, kept.offset, kept.timestamp, refused.user.encode(), kept.value, kept.headers
    )
    return Dead(record, refused.reason, MESSAGES[refused.reason].format(name=name))


def shopper_row(user: str, shopper: Shopper) -> dict[str, Any]:
    """The shopper as a row of schemas/attribution.avsc."""
    claims = [
        {name: getattr(one, name) for name in Claim.__dataclass_fields__} for one in shopper.claims.values()
    ]
    deeds = [
        {name: getattr(one, name) for name in Deed.__dataclass_fields__} | {"record": _record_row(one.record)}
        for one in shopper.deeds.values()
    ]
    sent = [one._asdict() for one in shopper.published.values()]
    return {"user_id": user, "claims": claims, "deeds": deeds, "published": sent}


def shopper_of(row: Mapping[str, Any]) -> Shopper:
    """The shopper in a decoded row of schemas/attribution.avsc."""
    deeds = [Deed(**{**one, "record": _record_of(one["record"])}) for one in row["deeds"]]
    return Shopper(
        {one["decision_id"]: Claim(**one) for one in row["claims"]},
        {one.event_id: one for one in deeds},
        {one["intervention_id"]: Published(**one) for one in row["published"]},
    )


def _record_row(kept: Kept | None) -> dict[str, Any] | None:
    if kept is None:
        return None
    return kept._asdict() | {"headers": [{"name": name, "value": value} for name, value in kept.headers]}


def _record_of(row: Mapping[str, Any] | None) -> Kept | None:
    if row is None:
        return None
    headers = tuple((one["name"], one["value"]) for one in row["headers"])
    return Kept(row["offset"], row["timestamp"], row["value"], headers)
