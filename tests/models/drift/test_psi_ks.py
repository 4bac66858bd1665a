"""PSI and KS against their definitions and against scipy, and their behaviour without drift."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.drift import ks, psi

stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")
COUNTS = st.lists(st.integers(0, 1000), min_size=2, max_size=10)


@given(COUNTS, st.randoms())
def test_psi_is_never_negative_and_symmetric(counts: list[int], random: object) -> None:
    other = counts[::-1]
    one, back = psi.psi(np.array(counts), np.array(other)), psi.psi(np.array(other), np.array(counts))
    assert one >= 0
    assert one == pytest.approx(back)
    assert psi.psi(np.array(counts), np.array(counts)) == 0


def test_psi_of_known_shares() -> None:
    """(.4-.5) ln(.4/.5) + (.6-.5) ln(.6/.5)"""
    assert psi.psi(np.array([5e9, 5e9]), np.array([4e9, 6e9])) == pytest.approx(0.0405465, abs=1e-6)


def test_quantile_bins_hold_equal_shares_and_few_values_fewer_bins() -> None:
    values = np.random.default_rng(0).normal(size=10_000)
    assert psi.counts(values, psi.edges(values)).tolist() == pytest.approx([1000] * 10, abs=2)
    few = np.array([0.0] * 70 + [1.0] * 30)
    assert psi.counts(few, psi.edges(few)).tolist() == [70, 30]
    assert psi.counts(np.ones(5), psi.edges(np.ones(5))).tolist() == [5]


def test_without_drift_psi_exceeds_its_noise_in_a_twentieth_of_cases() -> None:
    rng, above = np.random.default_rng(1), 0
    for _ in range(600):
        one, other = rng.normal(size=400), rng.normal(size=200)
        inner = psi.edges(one)
        above += psi.psi(psi.counts(one, inner), psi.counts(other, inner)) > psi.noise(10, 400, 200)
    assert 0.02 < above / 600 < 0.09


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("n", [50, 400])
def test_ks_is_that_of_scipy(n: int, shift: float) -> None:
    rng = np.random.default_rng(n)
    one, other = rng.normal(size=n), rng.normal(shift, size=2 * n)
    ours, theirs = ks.compare(one, other), stats.ks_2samp(one, other, method="exact")
    assert ours.distance == pytest.approx(theirs.statistic)
    assert ours.p == pytest.approx(theirs.pvalue, abs=0.02)


def test_order_statistics_stand_for_a_sample() -> None:
    rng = np.random.default_rng(0)
    whole, other = np.sort(rng.normal(size=5000)), rng.normal(0.2, size=1000)
    thin = whole[np.linspace(0, 4999, 200).round().astype(int)]
    assert ks.compare(thin, other, 5000).distance == pytest.approx(
        ks.compare(whole, other).distance, abs=0.01
    )
