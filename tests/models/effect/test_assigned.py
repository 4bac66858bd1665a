"""Who is compared with whom: what chance gave, from the first time a shopper was looked at."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.effect.assigned import HELD, TREATED, Past, by_arm, by_holdout, control_arm
from tests.models.effect.shop import DAY, HOLDOUT, decisions, joined


def test_whoever_was_not_held_out_is_treated_whatever_came_of_it() -> None:
    rows = decisions()
    found = by_holdout(rows)
    assert len(found) == 4_000
    assert ((found.group == HELD) == (found.rows.reason == "holdout")).all()
    assert "frequency_cap" in set(found.rows.reason[found.group == TREATED])
    assert set(found.share) == {HOLDOUT}


def test_a_shopper_counts_once_from_the_first_decision() -> None:
    first = decisions(500)
    later = replace(first, time=first.time + DAY, revenue=first.revenue + 1000)
    found = by_holdout(joined(later, first))
    assert len(found) == 500
    assert found.rows.revenue.max() < 1000
    assert (np.diff(found.rows.time) >= 0).all()


def test_what_was_decided_before_the_lot_was_drawn_counts_for_nobody() -> None:
    rows = decisions(300)
    early = replace(rows, reason=np.full(300, "no_consent"), time=rows.time - DAY)
    assert (by_holdout(joined(early, rows)).rows.time == np.sort(rows.time)).all()
    assert len(by_holdout(early)) == 0


def test_open_windows_wait_and_those_in_both_groups_are_left_out() -> None:
    rows = decisions(400)
    told = np.arange(400) >= 40
    found = by_holdout(replace(rows, told=told))
    assert len(found) == 360
    assert sum(found.open.values()) == 40
    assert sum(found.counts.values()) == 400
    other = replace(rows[np.arange(50)], time=rows.time[:50] + DAY)
    other = replace(other, reason=np.where(other.reason == "holdout", "emitted", "holdout"))
    moved = by_holdout(joined(rows, other))
    assert (moved.mixed, len(moved)) == (50, 350)


def test_arms_are_those_that_were_drawn_at_the_end_of_all_rules() -> None:
    rows = decisions(900)
    arm = np.array(["a", "b", "none"])[np.arange(900) % 3]
    reason = np.where(rows.reason == "emitted", np.where(arm == "none", "control", "emitted"), rows.reason)
    rows = replace(rows, arm=arm, reason=reason, campaign=np.full(900, "c"))
    found = by_arm(rows, "c")
    assert len(found) == (rows.reason != "holdout").sum() - (rows.reason == "frequency_cap").sum()
    assert control_arm(found) == "none"
    assert len(by_arm(rows, "other")) == 0
    assert control_arm(by_arm(rows, "other")) is None


def test_the_past_is_summed_up_to_each_shoppers_own_moment() -> None:
    rng = np.random.default_rng(0)
    user, time = rng.integers(0, 40, 2_000).astype(str), rng.integers(0, 50 * DAY, 2_000)
    amount = rng.random(2_000)
    asked, at = (
        np.append(rng.integers(0, 40, 100).astype(str), ["nobody", "0"]),
        rng.integers(0, 80 * DAY, 102),
    )
    found = Past(user, time, amount).before(asked, at, 10 * DAY)
    for row in range(102):
        some = (user == asked[row]) & (time < at[row]) & (time >= at[row] - 10 * DAY)
        assert np.allclose(found[row], [some.sum(), amount[some].sum()])
    nothing = Past(np.array([], str), np.array([], np.int64), np.array([]))
    assert not nothing.before(asked, at, DAY).any()
