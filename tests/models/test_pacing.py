"""A day's budget: spent as planned at its end, never above the bound."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.budget import allocate
from models.pacing import Pacer

NIGHT_AND_DAY = (0.0, 0.02, 0.05, 0.2, 0.45, 0.7, 0.95, 1.0)


def day(seed, count=10_000, curve=NIGHT_AND_DAY, alike=False):
    """Times, values and costs of a day's candidates, in batches of 50; the first action is nothing."""
    rng = np.random.default_rng(seed)
    at = np.sort(np.interp(rng.random(count), curve, np.linspace(0, 1, len(curve))))
    cost = np.tile([0.0, 0.5, 1.0, 2.0], (count, 1))
    value = rng.normal(0.5, 1.0, (count, 4)) * cost
    if alike:
        value = np.tile([0.0, 1.0, 1.2, 1.0], (count, 1))
    return [
        (float(at[first]), value[first : first + 50], cost[first : first + 50])
        for first in range(0, count, 50)
    ]


def played(pacer, batches):
    """Actions, and what they are worth."""
    chosen = [pacer.choose(value, cost, at) for at, value, cost in batches]
    worth = sum(
        value[np.arange(len(one)), one].sum() for one, (_, value, _) in zip(chosen, batches, strict=True)
    )
    return np.concatenate(chosen), worth


@pytest.mark.parametrize("forecast", [10_000.0, 7_000.0, 14_000.0])
@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_spend_is_within_two_percent_of_plan_at_the_end_of_the_day(forecast, alike, seed):
    pacer = Pacer(1_000.0, curve=NIGHT_AND_DAY, forecast=forecast)
    batches = day(seed, alike=alike)
    _, worth = played(pacer, batches)
    assert pacer.spent == pytest.approx(1_000.0, rel=0.02)
    assert pacer.spent <= 1_000.0
    hindsight = allocate(*(np.vstack([one[place] for one in batches]) for place in (1, 2)), 1_000.0)
    assert worth >= 0.97 * hindsight.value


def test_without_a_forecast_and_with_another_rhythm_than_planned_it_still_ends_on_plan():
    pacer = Pacer(1_000.0, curve=NIGHT_AND_DAY, price=1.0)
    played(pacer, day(1, curve=(0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)))
    assert pacer.spent == pytest.approx(1_000.0, rel=0.02)


def test_through_the_day_it_is_near_its_plan():
    pacer = Pacer(1_000.0, curve=NIGHT_AND_DAY, forecast=10_000.0)
    for at, value, cost in day(2):
        pacer.choose(value, cost, at)
        assert abs(pacer.spent - pacer.plan(at)) < 40


def test_what_is_learnt_later_of_costs_is_made_good():
    """Only half of what was expected to be spent is, told 100 batches later."""
    pacer, waiting = Pacer(1_000.0, curve=NIGHT_AND_DAY, forecast=10_000.0), []
    for at, value, cost in day(3):
        before = pacer.spent
        pacer.choose(value, cost, at)
        waiting.append(pacer.spent - before)
        if len(waiting) > 100:
            pacer.correct(-waiting.pop(0) / 2)
    assert pacer.spent == pytest.approx(1_000.0, rel=0.02)


@given(
    seed=st.integers(0, 10_000),
    bound=st.floats(0, 30),
    forecast=st.sampled_from([None, 10.0, 100_000.0]),
    masked=st.booleans(),
)
@settings(max_examples=50)
def test_spend_is_never_above_the_bound(seed, bound, forecast, masked):
    pacer = Pacer(25.0, bound, forecast=forecast)
    rng = np.random.default_rng(seed)
    for at, value, cost in day(seed, 500):
        eligible = rng.random(value.shape) < (0.5 if masked else 2)
        eligible[:, 0] = True
        before = pacer.spent
        actions = pacer.choose(value, cost, at, eligible)
        rows = np.arange(len(actions))
        assert eligible[rows, actions].all()
        assert pacer.spent == pytest.approx(before + cost[rows, actions].sum())
        assert pacer.spent <= bound


def test_a_budget_that_suffices_for_all_costs_nothing_beyond():
    pacer = Pacer(1e6, forecast=10_000.0)
    batches = day(4)
    actions, _ = played(pacer, batches)
    assert pacer.price == 0
    value = np.vstack([one[1] for one in batches])
    assert (actions == value.argmax(axis=1)).all()


def test_after_a_restart_it_goes_on_to_the_same_end():
    pacer, batches = Pacer(1_000.0, curve=NIGHT_AND_DAY, forecast=10_000.0), day(5)
    played(pacer, batches[:100])
    again = Pacer.loaded(pacer.dumped())
    assert (again.spent, again.price, again.seen) == (pacer.spent, pacer.price, pacer.seen)
    played(again, batches[100:])
    assert again.spent == pytest.approx(1_000.0, rel=0.02)
    with pytest.raises(ValueError, match="no pacer"):
        Pacer.loaded('{"budget": 1.0, "colour": "red"}')


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"budget": -1.0}, "budget -1"),
        ({"bound": -1.0}, "bound -1"),
        ({"curve": (0.0, 0.5)}, "rise from 0 to 1"),
        ({"curve": (0.0, 0.7, 0.5, 1.0)}, "rise from 0 to 1"),
        ({"price": -1.0}, "price -1"),
        ({"forecast": 0.0}, "forecast 0"),
        ({"steps": 0}, "steps 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(given, said):
    with pytest.raises(ValueError, match=said):
        Pacer(**{"budget": 1.0, **given})
