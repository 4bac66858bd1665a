"""The bench of the effect report: its bands and one of its runs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bench import honesty


@pytest.mark.parametrize(("runs", "chance"), [(200, 0.05), (400, 0.001), (200, 0.95), (20, 0.05)])
def test_the_band_is_the_binomials(runs: int, chance: float) -> None:
    low, high = honesty.band(runs, chance)
    assert (low, high) == tuple(map(int, stats.binom.interval(0.99, runs, chance)))


def test_the_distance_is_kolmogorovs_and_smirnovs() -> None:
    values = np.random.default_rng(0).random(50)
    assert honesty.uniform_distance(values.tolist()) == pytest.approx(
        stats.kstest(values, "uniform").statistic
    )


def test_a_run_has_a_truth_for_every_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(honesty, "SHOPPERS", 1_500)
    found = honesty.played(3, honesty.COUPON)
    assert set(found[1]) == set(honesty.FIGURES)
    assert 0 < found[1]["orders"] < 1
    kept = honesty.covered([found], "margin")
    assert kept["covers"] in (0.0, 1.0)
    assert honesty.played(3, honesty.NOTHING)[1]["margin"] == 0
