"""Whom to give what under a budget: never more than it, nearly the best there is; and uplift that rises with the discount."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.budget import allocate, best, monotone, values


def some(seed, shoppers=300, actions=4, rough=False):
    """Values and costs (n, A); the first action is nothing. rough: few different numbers, so that many rows are equal."""
    rng = np.random.default_rng(seed)
    cost = rng.uniform(0.1, 2.0, (shoppers, actions))
    value = rng.normal(0.5, 1.0, (shoppers, actions))
    if rough:
        cost, value = np.ceil(cost), np.round(value)
    cost[:, 0] = value[:, 0] = 0.0
    return value, cost


@given(seed=st.integers(0, 10_000), share=st.floats(0, 1.2), rough=st.booleans(), masked=st.booleans())
@settings(max_examples=100)
def test_spend_never_exceeds_the_budget_and_falls_short_by_less_than_an_action(seed, share, rough, masked):
    value, cost = some(seed, rough=rough)
    eligible = np.random.default_rng(seed).random(value.shape) < (0.6 if masked else 2)
    eligible[:, 0] = True
    rows = np.arange(len(value))
    free = best(value, cost, 0.0, eligible)
    budget = share * cost[rows, free].sum()
    found = allocate(value, cost, budget, eligible)
    assert found.spend == pytest.approx(cost[rows, found.actions].sum())
    assert eligible[rows, found.actions].all()
    assert found.spend <= budget * (1 + 1e-12)
    if share >= 1:
        assert (found.actions == free).all()
        assert found.price == 0
    else:
        assert found.spend > budget - cost.max()
    assert found.bound - (found.price + 20) * cost.max() <= found.value <= found.bound + 1e-9


def test_it_is_worth_99_percent_of_the_linear_program():
    linprog = pytest.importorskip("scipy.optimize").linprog
    for seed in range(5):
        value, cost = some(seed)
        budget = 60.0
        each = np.kron(np.eye(len(value)), np.ones(value.shape[1]))
        exact = linprog(-value.ravel(), cost.ravel()[None], [budget], each, np.ones(len(value)))
        found = allocate(value, cost, budget)
        assert found.value >= 0.99 * -exact.fun
        assert found.bound == pytest.approx(-exact.fun)


def test_it_is_the_best_of_all_choices_but_for_what_one_action_adds():
    for seed in range(20):
        value, cost = some(seed, shoppers=5, actions=3)
        every = np.array(list(itertools.product(range(3), repeat=5)))
        rows = np.arange(5)
        spend, worth = cost[rows, every].sum(axis=1), value[rows, every].sum(axis=1)
        found = allocate(value, cost, 2.5)
        assert worth[spend <= 2.5].max() - value.max() <= found.value <= worth[spend <= 2.5].max() + 1e-9


def test_shoppers_who_are_all_alike_share_the_budget_to_the_last_action():
    value, cost = np.tile([0.0, 1.0], (100, 1)), np.tile([0.0, 0.3], (100, 1))
    found = allocate(value, cost, 10.0)
    assert (found.actions == 1).sum() == 33
    assert found.price == pytest.approx(1.0 / 0.3)


def test_a_larger_budget_has_a_smaller_price_and_is_worth_more():
    value, cost = some(1)
    found = [allocate(value, cost, budget) for budget in (5, 20, 80, 1000)]
    assert [one.price for one in found] == sorted((one.price for one in found), reverse=True)
    assert [one.value for one in found] == sorted(one.value for one in found)


def test_what_costs_more_than_it_brings_is_not_done_however_large_the_budget():
    value = values(np.array([[0.0, 0.1, 0.2]]), 10.0, np.array([[0.0, 0.5, 2.5]]))
    assert value.tolist() == [[0.0, 0.5, -0.5]]
    assert allocate(value, np.array([[0.0, 0.5, 2.5]]), 100.0).actions.tolist() == [1]
    assert values(np.ones((2, 1)), np.array([3.0, 4.0]), np.ones((2, 1))).tolist() == [[2.0], [3.0]]


def test_of_equal_values_the_cheaper_is_chosen_then_the_first():
    assert best(np.ones((1, 3)), np.array([[2.0, 1.0, 1.0]]), 0.0).tolist() == [1]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"budget": -1.0}, "the cheapest actions cost 0 already"),
        ({"budget": np.nan}, "budget nan"),
        ({"value": np.ones((2, 3))}, "want both"),
        ({"cost": [[0.0, -1.0]]}, "costs of 0 or more"),
        ({"value": [[0.0, np.nan]]}, "want finite numbers"),
        ({"eligible": [[False, False]]}, "row 0 has no action"),
    ],
)
def test_what_cannot_be_allocated_is_refused(given, said):
    with pytest.raises(ValueError, match=said):
        allocate(**{"value": [[0.0, 1.0]], "cost": [[0.0, 1.0]], "budget": 1.0, **given})


@given(seed=st.integers(0, 10_000), levels=st.integers(1, 6), weighted=st.booleans())
def test_uplift_rises_with_the_discount_and_nothing_nearer_does(seed, levels, weighted):
    rng = np.random.default_rng(seed)
    uplift = rng.normal(size=(20, levels))
    weights = rng.uniform(0.1, 3, levels) if weighted else np.ones(levels)
    found = monotone(uplift, weights)
    assert (np.diff(found, axis=1) >= 0).all()
    assert (found * weights).sum(axis=1) == pytest.approx((uplift * weights).sum(axis=1))
    assert monotone(found, weights) == pytest.approx(found)
    rising = np.diff(uplift, axis=1) >= 0
    assert found[rising.all(axis=1)] == pytest.approx(uplift[rising.all(axis=1)])
    other = np.sort(rng.normal(size=(20, levels)), axis=1)
    nearer = found + 0.01 * (other - found)  # rises as well, as a mean of two that do
    assert (weights * (found - uplift) ** 2).sum() <= (weights * (nearer - uplift) ** 2).sum() + 1e-12


def test_monotone_is_that_of_scikit_learn():
    from sklearn.isotonic import isotonic_regression

    uplift = np.random.default_rng(0).normal(size=(50, 5))
    weights = np.array([1.0, 4.0, 2.0, 0.5, 3.0])
    wanted = [isotonic_regression(row, sample_weight=weights) for row in uplift]
    assert monotone(uplift, weights) == pytest.approx(np.array(wanted))
