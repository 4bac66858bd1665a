"""The made-up site's events as the contract has them, and interventions as its actions."""

import pytest

from models.shop.population import ACTIONS
from models.shop.site import DAY_MS, Site
from streams.loaders.base import SCHEMA
from streams.sim.shape import shaped, shopper, user
from streams.sim.voice import action

START = 1_767_571_200_000


def test_events_are_of_the_schema_with_ids_that_stay():
    events = Site(200, 1, START).until(START + DAY_MS)
    one, same = (shaped(events, 0, 1, []) for _ in range(2))
    assert one.schema == SCHEMA
    assert one.equals(same)
    assert len(set(one["event_id"].to_pylist())) == len(events)
    sold = [row for row in one.to_pylist() if row["event_type"] == "purchase"]
    assert sold
    assert all("margin" in dict(row["properties"]) and row["price"] > 0 for row in sold)


def test_user_ids_name_the_shopper():
    assert shopper(user(42)) == 42


@pytest.mark.parametrize(("value", "name"), [(2.0, "coupon_2"), (4.5, "coupon_5"), (50.0, "coupon_10")])
def test_a_coupon_is_the_nearest_one(value, name):
    assert action({"kind": "coupon", "coupon": {"value": value}}) == ACTIONS.index(name)
