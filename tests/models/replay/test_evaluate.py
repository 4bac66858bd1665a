"""The report counts the right rows, knows nothing of the future, and prefers who knows it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from models.events import hash_names
from models.replay.dataset import Sequences
from models.replay.evaluate import evaluate
from models.replay.history import DAY_MS
from models.replay.predicted import Predicted, published
from models.replay.redemption import REDEEM_DAYS, mailings
from models.replay.source import Interval
from models.survival import SURVIVAL_DAYS
from tests.models.replay.shop import START, event, rows, sequences

FIT = Interval(START, START + 60 * DAY_MS)
SCORED = Interval(FIT.stop, START + 120 * DAY_MS)
SHOP = sequences(rows(shoppers=60, days=120))


def clairvoyant(of: Sequences, wrong: bool = False) -> Predicted:
    """Says what will happen (or the opposite), at every moment."""
    at = np.flatnonzero(of.last)
    days = of.purchases.days_to_next(of.shopper[at], of.events["time"][at], SCORED.stop)
    curve = np.where(np.array(SURVIVAL_DAYS) < days[:, None], 0.99, 0.01)
    curve = np.minimum.accumulate(1 - curve if wrong else curve, axis=1).astype(np.float32)
    names = np.tile(hash_names([f"category {kind}" for kind in range(5)]), (len(at), 1))
    return Predicted(of.shopper[at], of.events["time"][at], curve, names)


def test_who_knows_the_future_beats_the_baseline_on_every_question() -> None:
    report = evaluate(SHOP, clairvoyant(SHOP), FIT, SCORED)
    for name in ("buy_3d", "buy_7d"):
        one = report.comparison(name)
        assert one.model.auc == pytest.approx(1.0)
        assert one.model.brier < one.baseline.brier
        assert one.baseline.auc is not None
        assert 0.5 < one.baseline.auc < 1
        assert one.without_prediction == 0


def test_only_baskets_whose_horizon_ended_are_counted() -> None:
    report = evaluate(SHOP, clairvoyant(SHOP), FIT, SCORED)
    times = SHOP.purchases.time
    wanted = (times >= SCORED.start) & (times + 7 * DAY_MS < SCORED.stop)
    assert report.comparison("buy_7d").model.rows == wanted.sum()


def test_rows_without_a_prediction_are_left_out_and_counted() -> None:
    whole = clairvoyant(SHOP)
    half = whole.shopper % 2 == 0
    part = Predicted(
        *(column[half] for column in (whole.shopper, whole.time, whole.survival, whole.categories))
    )
    found, all_ = (evaluate(SHOP, one, FIT, SCORED).comparison("buy_7d") for one in (part, whole))
    assert found.model.rows + found.without_prediction == all_.model.rows
    assert found.without_prediction > 0


def test_lapse_is_asked_of_the_latest_prediction_aged_to_the_day() -> None:
    report = evaluate(SHOP, clairvoyant(SHOP), FIT, SCORED)
    lapse = report.comparison("lapse_30d")
    assert lapse.model.rows == lapse.baseline.rows
    assert lapse.model.auc is not None
    assert lapse.model.auc > 0.9


def test_hits_compare_the_named_with_the_next_basket() -> None:
    events = [event("a", START + day * DAY_MS, category_id=f"category {day % 2}") for day in range(100)]
    report = evaluate(sequences(events), clairvoyant(sequences(events)), FIT, SCORED)
    assert report.next_category is not None
    assert report.next_category.model.any == 1.0
    assert report.next_category.model.share == pytest.approx(0.2)


def test_published_predictions_are_the_last_of_each_moment() -> None:
    time = int(SHOP.events["time"][SHOP.bounds[0]])
    user = SHOP.users[0].as_py()
    curves = [[1 - 0.01 * number] * len(SURVIVAL_DAYS) for number in range(3)]
    table = pa.table(
        {
            "user_id": [user, user, "stranger"],
            "event_time": pa.array([time, time, time], pa.timestamp("ms", "UTC")),
            "survival": pa.array(curves, pa.list_(pa.float32())),
            "next_categories": pa.array([["x"], ["y", "z"], []], pa.list_(pa.string())),
        }
    )
    found = published([table], SHOP)
    assert len(found) == 1
    assert found.survival[0, 0] == pytest.approx(0.99)
    assert found.categories[0].tolist() == hash_names(["y", "z"]).tolist()
    with pytest.raises(ValueError, match="no predictions"):
        published([table.slice(0, 0)], SHOP)


def test_a_mailed_campaign_counts_once_and_its_past_is_only_the_past() -> None:
    def mailed(day: int, campaign: str) -> dict[str, object]:
        return event(
            "a",
            START + day * DAY_MS,
            event_type="intervention_exposed",
            properties=[("campaign_id", campaign)],
        )

    def redeemed(day: int, campaign: str, coupon: str) -> dict[str, object]:
        said = [("campaign_id", campaign)]
        return event("a", START + day * DAY_MS, event_type="coupon_redeem", item_id=coupon, properties=said)

    events = [mailed(0, "1"), redeemed(3, "1", "x"), redeemed(4, "1", "y"), mailed(10, "2"), mailed(20, "3")]
    events += [redeemed(20 + REDEEM_DAYS + 1, "3", "z")]
    found = mailings(sequences(events))
    assert found.redeemed.tolist() == [True, False, False]  # the third too late
    assert found.past_mailed.tolist() == [0, 1, 2]
    assert found.past_redeemed.tolist() == [0, 1, 1]
    assert len(found.within(START, START + 60 * DAY_MS).time) == 2
