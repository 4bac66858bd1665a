"""Arms that are learnt, weighed by the chance of each moment: right where what came in an arm is not comparable."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.effect.assigned import Decisions, by_arm, is_draw
from models.effect.html import page
from models.effect.report import judge
from models.effect.weighed import moments, weighed
from models.ids import decision_id
from models.replay.source import Interval
from tests.models.effect.shop import DAY, decisions

EFFECT = 2.0


def dealt(count: int, seed: int = 0, shoppers: int | None = None) -> tuple[Decisions, Any]:
    """Moments of a campaign that deals `five` to those who bring little anyhow; five adds EFFECT to each."""
    rng = np.random.default_rng(seed)
    rich = rng.random(count) < 0.5
    chance = np.where(rich, 0.1, 0.9)
    five = rng.random(count) < chance
    margin = 10.0 * rich + EFFECT * five + rng.normal(size=count)
    changes: dict[str, Any] = {
        "user": np.array([f"u{n % (shoppers or count)}" for n in range(count)]),
        "campaign": np.full(count, "coupon"),
        "reason": np.where(five, "emitted", "control"),
        "arm": np.where(five, "five", "nothing"),
        "propensity": np.where(five, chance, 1 - chance) * 0.8,
        "learned_version": np.full(count, "abc"),
        "drawn": np.ones(count, bool),
        "time": np.arange(count) * 1000,
    }
    return decisions(count, **changes), margin


def test_it_finds_the_effect_where_means_of_the_arms_do_not() -> None:
    rows, margin = dealt(4000)
    naive = margin[rows.arm == "five"].mean() - margin[rows.arm == "nothing"].mean()
    assert naive < -3
    (found,) = weighed(rows, margin, "coupon")
    assert (found.arm, found.control) == ("five", "nothing")
    assert found.interval is not None
    assert found.interval.low < EFFECT < found.interval.high
    assert found.interval.high - found.interval.low < 1.5
    assert found.difference == pytest.approx(found.value - found.control_value)


def test_its_intervals_hold_as_often_as_they_say_also_with_several_moments_of_a_shopper() -> None:
    hits = 0
    for seed in range(100):
        rows, margin = dealt(900, seed, 300)
        (found,) = weighed(rows, margin, "coupon")
        assert found.interval is not None
        hits += found.interval.low < EFFECT < found.interval.high
    assert hits >= 88


def test_too_few_have_no_interval_and_one_arm_no_comparison() -> None:
    rows, margin = dealt(60)
    (found,) = weighed(rows, margin, "coupon")
    assert found.interval is None
    five = rows.arm == "five"
    assert weighed(rows[five], margin[five], "coupon") == []


def changed(rows: Decisions, **columns: Any) -> Decisions:
    return Decisions(**vars(rows) | columns)


def test_arms_of_earlier_versions_of_the_policy_are_left_out_and_the_report_says_so() -> None:
    rows, margin = dealt(4000)
    early = np.arange(4000) < 1000
    found = changed(rows, policy=np.where(early, "v1", "v2"), arm=np.where(early, "other", rows.arm))
    later = rows[~early]
    assert weighed(found, margin, "coupon") == weighed(later, margin[~early], "coupon")
    made = judge(found, Interval(0, 20 * DAY), 0.3)
    assert [one.arm for one in made.learnt] == ["five"]
    (note,) = [one for one in made.notes if one.startswith("coupon: ")]
    assert "3,000 moments of policy v2 alone; 1,000 of earlier versions are left out" in note
    assert not [one for one in judge(rows, Interval(0, 20 * DAY), 0.3).notes if one.startswith("coupon: ")]


def test_an_arm_added_while_shoppers_buy_more_has_no_effect_by_that() -> None:
    rng, count = np.random.default_rng(0), 4000
    late = np.arange(count) >= count // 2
    arm = np.where(late, rng.integers(0, 3, count), rng.integers(0, 2, count))
    columns = {
        "arm": np.array(["nothing", "two", "five"])[arm],
        "reason": np.where(arm == 0, "control", "emitted"),
        "propensity": np.where(late, 1 / 3, 1 / 2),
        "policy": np.where(late, "v2", "v1"),
    }
    rows = changed(dealt(count)[0], **columns)
    found = weighed(rows, np.where(late, 3.0, 1.0), "coupon")
    assert [(one.arm, one.difference) for one in found] == [
        ("five", pytest.approx(0)),
        ("two", pytest.approx(0)),
    ]


def test_moments_whose_window_is_not_over_are_left_out_also_where_an_outcome_was_told() -> None:
    rows, margin = dealt(4000)
    over = np.arange(4000) < 3000
    open_ones = changed(rows, complete=over)
    assert weighed(open_ones, margin, "coupon") == weighed(rows[over], margin[over], "coupon")
    assert moments(open_ones, "coupon")[1] == 0


def test_of_a_message_that_waited_the_first_decision_is_the_draw() -> None:
    row = {"event_id": "e", "campaign": "c", "reason": "deferred", "learned_version": "abc"}
    first, second = decision_id("e", "c"), decision_id("e", "c@1")
    assert is_draw(row | {"decision_id": first})
    assert not is_draw(row | {"decision_id": second, "reason": "emitted"})
    assert not is_draw(row | {"decision_id": first, "learned_version": ""})
    assert not is_draw(row | {"decision_id": first, "reason": "cooldown"})


def test_the_report_tells_them_apart_from_arms_of_shoppers() -> None:
    rows, _ = dealt(3000)
    assert len(by_arm(rows, "coupon")) == 0
    made = judge(rows, Interval(0, 20 * DAY), 0.3)
    assert [one.arm for one in made.learnt] == ["five"]
    assert not made.arms
    assert made.to_json()["learnt_arms"][0]["arm"] == "five"
    assert "Arms that are learnt" in page(made)
