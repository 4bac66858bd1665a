"""Arms that are learnt, weighed by the chance of each moment: right where what came in an arm is not comparable."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.effect.assigned import Decisions, by_arm
from models.effect.html import page
from models.effect.report import judge
from models.effect.weighed import is_learnt, weighed
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


def test_of_a_message_that_waited_the_first_decision_counts() -> None:
    rows, _ = dealt(4)
    changed = Decisions(
        **{
            **vars(rows),
            "user": np.array(["a", "a", "a", "b"]),
            "reason": np.array(["deferred", "emitted", "emitted", "holdout"]),
            "time": np.array([1, 1, 2, 3]),
        }
    )
    assert is_learnt(changed).tolist() == [True, False, True, False]


def test_the_report_tells_them_apart_from_arms_of_shoppers() -> None:
    rows, _ = dealt(3000)
    assert len(by_arm(rows, "coupon")) == 0
    made = judge(rows, Interval(0, 20 * DAY), 0.3)
    assert [one.arm for one in made.learnt] == ["five"]
    assert not made.arms
    assert made.to_json()["learnt_arms"][0]["arm"] == "five"
    assert "Arms that are learnt" in page(made)
