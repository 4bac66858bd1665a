"""Events of the made-up site as columns of schemas/behavior_event.avsc."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from models.families.table import Array
from models.shop.browsing import CODE, TYPES, Events
from models.shop.catalogue import category
from models.shop.population import MARGIN_SHARE
from streams.loaders import columns
from streams.loaders.base import SCHEMA, batch

SEARCHED = ("coat", "kettle", "lamp", "shoes", "rucksack")  # what queries are made of


def shaped(events: Events, first: int, seed: int, interventions: Sequence[str]) -> pa.RecordBatch:
    """Rows (n,) as events, in their order. interventions: ids by the numbers that the site knows them by.

    first: how many the site has told before; with the seed it makes ids that are the same in every run.
    """
    rows, kind = len(events), events["type"]
    about, paid = events["item"] >= 0, np.isfinite(events["price"])
    sold = np.isin(kind, [CODE["purchase"], CODE["return"]])
    made = batch(
        rows,
        event_id=columns.event_ids(f"sim-{seed}", np.arange(first, first + rows)),
        user_id=pa.array([user(one) for one in events["shopper"].tolist()], pa.string()),
        event_type=columns.named(kind, TYPES),
        event_time=pa.array(events["time"]).cast(pa.timestamp("ms")),
        item_id=_texts("i", events["item"], about),
        category_id=_texts("c", category(events["item"]), about),
        price=pa.array(np.nan_to_num(events["price"]), mask=~(paid & (kind != CODE["coupon_redeem"]))),
        quantity=pa.array(np.ones(rows), mask=~sold),
        session_id=_texts("v", events["session"], events["session"] >= 0),
        query=pa.array(np.array(SEARCHED)[events["time"] % len(SEARCHED)], mask=kind != CODE["search"]),
        properties=_properties(events, sold, interventions),
    )
    return made.cast(SCHEMA)


def user(shopper: int) -> str:
    """The user id of a shopper."""
    return f"s{shopper}"


def shopper(user_id: str) -> int:
    """Whose user id it is."""
    return int(user_id[1:])


def _texts(letter: str, numbers: Array, there: Array) -> pa.Array:
    return pa.array(
        [
            f"{letter}{one}" if here else None
            for one, here in zip(numbers.tolist(), there.tolist(), strict=True)
        ],
        pa.string(),
    )


def _properties(events: Events, sold: Array, interventions: Sequence[str]) -> pa.MapArray:
    """Which intervention was shown or redeemed; what an order leaves; that consent is taken back."""
    rows, kind = len(events), events["type"]
    price = np.nan_to_num(events["price"])
    refused = kind == CODE["consent"]

    def given(values: Sequence[str], there: Array) -> pa.Array:
        return pa.array(np.array(values, dtype=object), pa.string(), mask=~there)

    named = [interventions[one] if one >= 0 else "" for one in events["intervention"].tolist()]
    return columns.properties(
        rows,
        intervention_id=given(named, events["intervention"] >= 0),
        discount=given([f"{one:.2f}" for one in price], kind == CODE["coupon_redeem"]),
        margin=given([f"{MARGIN_SHARE * one:.4f}" for one in price], sold),
        position=given([str(one) for one in events["place"].tolist()], events["place"] >= 0),
        channel=given(["all"] * rows, refused),
        granted=given(["false"] * rows, refused),
    )
