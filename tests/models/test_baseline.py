"""The baseline knows the past and nothing else, and orders categories as a person would."""

import numpy as np
import pytest

from models import baseline
from models.replay.history import DAY_MS, Purchases

DAY0 = 1_500_000_000_000


def purchases(*days: float) -> Purchases:
    times = np.array([DAY0 + round(day * DAY_MS) for day in days])
    return Purchases(1, np.zeros(len(days), np.int64), times)


def at(day: float) -> tuple[np.ndarray, np.ndarray]:
    return np.array([0]), np.array([DAY0 + round(day * DAY_MS)])


def test_features_at_a_basket_are_gap_counts_tenure_and_mean_gap() -> None:
    found = np.expm1(baseline.features(purchases(0, 50, 60), *at(60)))[0]
    assert found == pytest.approx([10, 2, 3, 60, 30])


def test_a_later_purchase_changes_no_feature() -> None:
    assert (
        baseline.features(purchases(0, 50, 60), *at(55)) == baseline.features(purchases(0, 50), *at(55))
    ).all()


def test_who_never_bought_has_no_history() -> None:
    found = np.expm1(baseline.features(purchases(10), *at(5)))[0]
    assert found == pytest.approx([baseline.FAR_DAYS, 0, 0, 0, 0])


def test_one_outcome_cannot_be_fitted() -> None:
    with pytest.raises(ValueError, match="longer interval"):
        baseline.fit(np.zeros((3, 1)), np.ones(3, bool))


def test_frequent_categories_come_first_and_popularity_fills_up() -> None:
    ranked = baseline.frequent([np.array([4]), np.array([4, 2])], np.array([9.0, 5.0, 1.0, 7.0, 0.0]), 3)
    assert ranked.tolist() == [[4, 0, 3], [4, 2, 0]]


def test_redemption_rate_is_drawn_to_the_overall_rate() -> None:
    found = baseline.redemption_rate(np.array([0, 2]), np.array([0, 2]), 0.1)
    assert found == pytest.approx([0.1, (2 + 0.2) / 4])
