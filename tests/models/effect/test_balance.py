"""Sample ratio mismatch: it alarms when shoppers are lost, and does not cry wolf."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from models.effect.balance import balance, chi_square_tail, holdout_balance


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("value", [0.0, 0.3, 3.84, 12.0, 60.0])
def test_the_tail_is_scipys(value: float, freedom: int) -> None:
    assert chi_square_tail(value, freedom) == pytest.approx(stats.chi2.sf(value, freedom), rel=1e-9)


def test_it_alarms_when_one_in_twenty_of_a_group_is_lost() -> None:
    rng, alarms = np.random.default_rng(0), 0
    for _ in range(50):
        held = rng.random(20_000) < 0.1
        kept = ~held | (rng.random(20_000) > 0.15)
        alarms += holdout_balance(held[kept], np.full(kept.sum(), 0.1)).alarm
    assert alarms >= 48


def test_it_does_not_cry_wolf() -> None:
    rng = np.random.default_rng(1)
    shares = np.where(np.arange(5_000) < 2_000, 0.1, 0.05)  # the policy changed on the way
    found = [holdout_balance(rng.random(5_000) < shares, shares).p_value for _ in range(2_000)]
    assert sum(p < 0.001 for p in found) <= stats.binom.ppf(0.999, 2_000, 0.001)
    assert stats.binom.interval(0.999, 2_000, 0.05)[0] < sum(p < 0.05 for p in found) < 150


def test_arms_are_held_against_their_shares() -> None:
    rng = np.random.default_rng(2)
    shares = {"control": 50.0, "five": 30.0, "ten": 20.0}
    found = []
    for _ in range(1_000):
        drawn = rng.multinomial(3_000, [0.5, 0.3, 0.2])
        found.append(balance(dict(zip(shares, drawn.tolist(), strict=True)), shares).p_value)
    assert stats.kstest(found, "uniform").pvalue > 0.001
    assert balance({"control": 1500, "five": 900, "ten": 450}, shares).alarm
    assert not balance({"control": 0, "five": 0, "ten": 0}, shares).alarm


def test_a_group_without_a_share_is_refused() -> None:
    with pytest.raises(ValueError, match="ten has none"):
        balance({"ten": 3}, {"five": 1.0})
