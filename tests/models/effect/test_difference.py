"""Effects on made-up shoppers whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from models.effect.difference import Effect, adjusted, difference, ratio, variance_cut
from tests.models.effect.made import Made, made


def test_it_is_welch() -> None:
    shoppers = made(400, effect=0.3)
    found = difference(shoppers.revenue, shoppers.treated)
    on, off = shoppers.revenue[shoppers.treated], shoppers.revenue[~shoppers.treated]
    assert found.value == pytest.approx(on.mean() - off.mean())
    assert found.value / found.error == pytest.approx(stats.ttest_ind(on, off, equal_var=False).statistic)


def test_a_ratio_is_that_of_the_sums_and_its_error_that_of_a_bootstrap() -> None:
    shoppers = made(3000, effect=0.2, seed=1)
    found = ratio(shoppers.revenue, shoppers.orders, shoppers.treated)
    rng, draws = np.random.default_rng(0), []
    for _ in range(400):
        rows = rng.integers(0, len(shoppers.treated), len(shoppers.treated))
        arm = shoppers.treated[rows]
        one, other = (
            shoppers.revenue[rows][which].sum() / shoppers.orders[rows][which].sum() for which in (arm, ~arm)
        )
        draws.append(one - other)
    on = shoppers.treated
    assert found.treated == pytest.approx(shoppers.revenue[on].sum() / shoppers.orders[on].sum())
    assert found.error == pytest.approx(np.std(draws), rel=0.15)


def test_runs_without_an_effect_give_uniform_p_values() -> None:
    plain, sharp, ratios = [], [], []
    for seed in range(400):
        shoppers = made(600, effect=0.0, seed=seed)
        plain.append(difference(shoppers.revenue, shoppers.treated).p_value)
        sharp.append(adjusted(shoppers.revenue, shoppers.treated, shoppers.before).p_value)
        ratios.append(ratio(shoppers.revenue, shoppers.orders, shoppers.treated).p_value)
    for found in (plain, sharp, ratios):
        assert stats.kstest(np.array(found, float), "uniform").pvalue > 0.01
        low, high = stats.binom.interval(0.99, 400, 0.05)
        assert low <= sum(p < 0.05 for p in found if p is not None) <= high


def test_intervals_hold_the_truth_and_the_past_narrows_them() -> None:
    held, cuts = {"plain": 0, "sharp": 0}, []
    for seed in range(300):
        shoppers = made(3000, effect=0.5, seed=seed)
        plain = difference(shoppers.revenue, shoppers.treated)
        sharp = adjusted(shoppers.revenue, shoppers.treated, shoppers.before)
        for name, one in (("plain", plain), ("sharp", sharp)):
            assert one.interval is not None
            held[name] += one.interval.low <= shoppers.truth <= one.interval.high
        cuts.append(variance_cut(plain, sharp))
    assert min(held.values()) >= 0.92 * 300
    assert max(held.values()) <= 0.98 * 300
    assert np.mean([cut for cut in cuts if cut is not None]) > 0.2
    assert sum(cut > 0 for cut in cuts if cut is not None) > 290


def test_a_past_that_tells_nothing_costs_nothing() -> None:
    shoppers = made(2000, effect=0.5)
    noise = np.random.default_rng(0).normal(size=(2000, 1))
    cut = variance_cut(
        difference(shoppers.revenue, shoppers.treated), adjusted(shoppers.revenue, shoppers.treated, noise)
    )
    assert cut == pytest.approx(0, abs=0.01)


def test_what_cannot_be_told_is_not() -> None:
    few = difference(np.arange(20.0), np.arange(20) < 10)
    assert few.interval is few.p_value is None
    same = difference(np.ones(200), np.arange(200) < 100)
    assert same.interval is None
    nothing_bought = ratio(np.zeros(200), np.zeros(200), np.arange(200) < 100)
    assert nothing_bought.interval is None
    assert Effect(1, 0, 1, 0.5).interval == pytest.approx((0.02, 1.98), abs=0.001)


@pytest.mark.parametrize(
    ("outcomes", "treated", "said"),
    [
        (np.ones(3), np.ones(3, bool), "one arm"),
        (np.ones(3), np.ones(2, bool), "shape"),
        (np.array([1.0, np.nan]), np.array([True, False]), "not finite"),
    ],
)
def test_nonsense_is_refused(outcomes: np.ndarray, treated: np.ndarray, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        difference(outcomes, treated)


def test_made_is_what_it_says() -> None:
    shoppers: Made = made(50_000, effect=0.5)
    assert difference(shoppers.revenue, shoppers.treated).value == pytest.approx(shoppers.truth, abs=0.5)
