"""Aggregates at a moment are those of the latest event known then."""

from __future__ import annotations

import numpy as np

from models.featurizer import FeatureSpec
from models.replay.aggregates import COLUMNS, Aggregates
from models.replay.history import DAY_MS
from tests.models.replay.shop import START, event, rows, sequences

SPEC = FeatureSpec()


def test_the_latest_row_is_the_last_of_the_log_before_anything_later() -> None:
    shop = sequences(rows(shoppers=10, days=30))
    found = Aggregates(shop, SPEC)
    rng = np.random.default_rng(0)
    shopper = rng.integers(0, 10, 200)
    moment = START + rng.integers(-DAY_MS, 31 * DAY_MS, 200)
    for who, when, at in zip(shopper, moment, found.latest(shopper, moment), strict=True):
        own = np.arange(shop.bounds[who], shop.bounds[who + 1])
        known = own[shop.events["time"][own] <= when]
        assert at == (known[-1] if len(known) else -1)


def test_a_row_of_the_table_is_baseline_features_and_those_of_the_latest_event() -> None:
    shop = sequences(
        [event("a", START), event("a", START + DAY_MS, device="app"), event("b", START + 5 * DAY_MS)]
    )
    table = Aggregates(shop, SPEC)
    values = table.table(np.array([0, 1]), np.array([START + 3 * DAY_MS] * 2))
    assert len(COLUMNS) == values.shape[1] == len(set(COLUMNS))
    named = dict(zip(COLUMNS, values[0], strict=True))
    assert named["log_days_since_event"] == np.log1p(2)
    assert named["latest_event_log_events"] == shop.features(SPEC).dense[1, 6]
    assert np.isnan(values[1, len(COLUMNS) - 1])  # nothing known of b yet
    assert table.devices(np.array([0, 1]), np.array([START + 3 * DAY_MS] * 2)).tolist() == ["app", "unknown"]
    assert table.events_known(np.array([0, 0, 1]), np.array([START, START + 3 * DAY_MS, START])).tolist() == [
        1,
        2,
        0,
    ]


def test_a_late_event_does_not_turn_back_what_was_known() -> None:
    shop = sequences([event("a", START + 2 * DAY_MS), event("a", START), event("a", START + 4 * DAY_MS)])
    found = Aggregates(shop, SPEC).latest(np.zeros(3, int), START + np.array([1, 3, 5]) * DAY_MS)
    assert found.tolist() == [-1, 1, 2]
