"""The report counts the right rows, knows nothing of the future, and prefers who knows it."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from models.evaluation.asked import NotAsked
from models.evaluation.report import Report
from models.evaluation.thresholds import Threshold
from models.events import hash_names
from models.replay.dataset import Sequences
from models.replay.evaluate import Answers, Choices, answers, evaluate, judged
from models.replay.history import DAY_MS
from models.replay.predicted import Predicted, published
from models.replay.redemption import REDEEM_DAYS, mailings
from models.replay.source import Interval, SourceProblem
from models.replay.splits import by_fold
from models.replay.targets import targets
from models.survival import SURVIVAL_DAYS
from tests.models.replay.shop import START, event, rows, sequences

FIT = Interval(START, START + 60 * DAY_MS)
SCORED = Interval(FIT.stop, START + 120 * DAY_MS)
SHOP = sequences(rows(shoppers=60, days=120))
FOLDS = list(by_fold(SHOP.users, Interval(START, SCORED.stop), 3, 0))
PLAIN = Choices(boosted=False)


def clairvoyant(of: Sequences, wrong: bool = False) -> Predicted:
    """Says what will happen (or the opposite), at every moment."""
    at = np.flatnonzero(of.last)
    days = of.purchases.days_to_next(of.shopper[at], of.events["time"][at], SCORED.stop)
    curve = np.where(np.array(SURVIVAL_DAYS) < days[:, None], 0.99, 0.01)
    curve = np.minimum.accumulate(1 - curve if wrong else curve, axis=1).astype(np.float32)
    names = np.tile(hash_names([f"category {kind}" for kind in range(5)]), (len(at), 1))
    return Predicted(of.shopper[at], of.events["time"][at], curve, names)


@functools.cache
def clairvoyants() -> Report:
    """The report on who knows the future."""
    return evaluate(SHOP, clairvoyant(SHOP), FIT, SCORED)


def test_who_knows_the_future_beats_the_baseline_on_every_question() -> None:
    report = clairvoyants()
    for name in ("buy_3d", "buy_7d"):
        one = report.comparison(name)
        assert one.model.auc == pytest.approx(1.0)
        assert one.model.brier < one.baseline.brier
        assert one.baseline.auc is not None
        assert 0.5 < one.baseline.auc < 1
        assert one.without_prediction == 0


def test_only_baskets_whose_horizon_ended_are_counted() -> None:
    report = clairvoyants()
    times = SHOP.purchases.time
    wanted = (times >= SCORED.start) & (times + 7 * DAY_MS < SCORED.stop)
    assert report.comparison("buy_7d").model.rows == wanted.sum()


def test_rows_without_a_prediction_are_left_out_and_counted() -> None:
    whole = clairvoyant(SHOP)
    half = whole.shopper % 2 == 0
    part = Predicted(
        *(column[half] for column in (whole.shopper, whole.time, whole.survival, whole.categories))
    )
    found = evaluate(SHOP, part, FIT, SCORED, choices=PLAIN).comparison("buy_7d")
    all_ = clairvoyants().comparison("buy_7d")
    assert found.model.rows + found.without_prediction == all_.model.rows
    assert found.without_prediction > 0


def test_lapse_is_asked_of_the_latest_prediction_aged_to_the_day() -> None:
    report = clairvoyants()
    lapse = report.comparison("lapse_30d")
    assert lapse.model.rows == lapse.baseline.rows
    assert lapse.model.auc is not None
    assert lapse.model.auc > 0.9


def test_every_question_stands_beside_a_constant_the_baseline_and_boosting_with_its_threshold() -> None:
    report = clairvoyants()
    for one in report.comparisons:
        assert list(one.predictors) == ["model", "baseline", "boosting", "constant"]
        assert one.predictors["constant"].quality.auc == 0.5
        assert one.predictors["model"].thresholds[0].rule == "best F1 in the training interval"
        assert one.differences["boosting"]["auc"].interval is not None
    assert report.comparison("buy_7d").predictors["model"].decided.f1 == 1.0
    given = evaluate(SHOP, clairvoyant(SHOP), FIT, SCORED, choices=Choices(threshold=0.25, boosted=False))
    assert given.comparison("buy_7d").predictors["baseline"].thresholds[0] == Threshold(0.25, "given")


def test_thresholds_and_calibrations_know_nothing_of_the_scored_interval() -> None:
    """What is said of the scored interval is turned round; nothing that was chosen before may move."""
    whole = clairvoyant(SHOP)
    late = whole.time >= SCORED.start
    turned = np.where(late[:, None], 1 - whole.survival[:, ::-1], whole.survival)
    other = Predicted(whole.shopper, whole.time, turned, whole.categories)
    one, two = (evaluate(SHOP, said, FIT, SCORED, choices=PLAIN) for said in (whole, other))
    for found, again in zip(one.comparisons, two.comparisons, strict=True):
        if found.name.startswith("buy"):
            assert found.predictors["model"].thresholds == again.predictors["model"].thresholds
        assert found.baseline == again.baseline
    assert one.comparison("buy_7d").model.auc != two.comparison("buy_7d").model.auc


def test_days_to_the_next_basket_are_an_amount() -> None:
    (wait,) = clairvoyants().amounts
    assert wait.asked.came.max() == 30
    assert wait.predictors["model"].mae < wait.predictors["baseline"].mae < wait.predictors["constant"].mae


def test_slices_are_of_what_was_known_at_the_row() -> None:
    one = clairvoyants().comparison("buy_7d")
    slicings = {found.of for found in one.slices}
    assert slicings == {"shopper", "tenth by events so far"}  # the shop has one device
    for of in slicings:
        assert sum(found.model.rows for found in one.slices if found.of == of) == one.model.rows


def test_a_question_that_cannot_be_put_is_a_sentence() -> None:
    brief = Interval(FIT.stop, FIT.stop + 5 * DAY_MS)
    said = {
        one.name: one.why for one in evaluate(SHOP, clairvoyant(SHOP), FIT, brief, choices=PLAIN).not_asked
    }
    assert "longer interval" in said["buy_7d"]
    assert "buy_3d" not in said
    daily = sequences([event(user, START + day * DAY_MS) for day in range(120) for user in "ab"])
    said = {
        one.name: one.why for one in evaluate(daily, clairvoyant(daily), FIT, SCORED, choices=PLAIN).not_asked
    }
    assert "have the same outcome" in said["buy_3d"]
    nobody = clairvoyant(SHOP).rows(np.arange(0))
    silent = evaluate(SHOP, nobody, FIT, SCORED)
    assert not silent.comparisons
    assert "said nothing" in silent.not_asked[0].why
    assert silent.tables()


def test_a_fold_that_cannot_be_asked_leaves_the_others() -> None:
    answer = [answers(SHOP, clairvoyant(SHOP), fold, None, PLAIN) for fold in FOLDS]
    answer[1] = Answers([NotAsked("buy_3d", "buys", "nobody came")], [], [], [])
    report = judged(answer, FOLDS[0])
    assert len(report.comparison("buy_3d").folds) == 2
    assert len(report.amounts) == 1
    assert report.split == "3-fold cross-validation by shopper"
    assert judged(answer[1:2] * 3, FOLDS[0]).not_asked[0].why == "nobody came"


def test_what_is_learnt_must_lie_before_what_is_scored() -> None:
    with pytest.raises(SourceProblem, match="what is learnt would be scored"):
        evaluate(SHOP, clairvoyant(SHOP), SCORED, SCORED)


def test_hits_compare_the_named_with_the_next_basket() -> None:
    events = [event("a", START + day * DAY_MS, category_id=f"category {day % 2}") for day in range(100)]
    report = evaluate(sequences(events), clairvoyant(sequences(events)), FIT, SCORED)
    assert report.next_category is not None
    assert report.next_category.model.any == 1.0
    assert report.next_category.model.share == pytest.approx(0.2)
    assert report.next_category.model.recall == 1.0


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


def test_tasks_with_a_head_of_their_own_are_asked_too() -> None:
    """Who knows what comes is never wrong; what is not over yet is not asked."""
    rng = np.random.default_rng(0)
    log = [
        event(f"shopper {number}", START + day * DAY_MS + step * 60_000, event_type=kind)
        for number in range(8)
        for day in range(120)
        for step, kind in enumerate(["item_view", "purchase"] if rng.random() < 0.4 else ["item_view"])
    ]
    shop = sequences(log)
    tasks = ("session_buy", "orders_7d")
    truth = targets(shop, tasks, int(shop.events["time"].max()) + DAY_MS * 30, 1800.0).values
    said = clairvoyant(shop)
    report = evaluate(
        shop, replace(said, scores=truth[np.flatnonzero(shop.last)], tasks=tasks), FIT, SCORED, choices=PLAIN
    )
    asked = report.comparison("session_buy")
    assert asked.model.auc == 1.0
    assert asked.baseline.auc is not None
    assert asked.baseline.auc < 1.0
    (orders,) = (one for one in report.amounts if one.asked.name == "orders_7d")
    assert orders.predictors["model"].rmse == pytest.approx(0.0, abs=1e-6)
    assert orders.predictors["baseline"].rmse > 0
