"""Metrics against values that can be worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.metrics import binary, calibration, hits


def test_a_perfect_ranking_has_auc_one_and_a_reversed_one_zero() -> None:
    labels = np.array([0, 0, 1, 1], bool)
    assert binary(labels, np.array([0.1, 0.2, 0.8, 0.9])).auc == 1.0
    assert binary(labels, np.array([0.9, 0.8, 0.2, 0.1])).auc == 0.0


def test_brier_and_base_rate_are_the_plain_means() -> None:
    found = binary(np.array([1, 0, 1, 1], bool), np.array([0.5, 0.5, 1.0, 0.0]))
    assert found.base_rate == 0.75
    assert found.brier == pytest.approx((0.25 + 0.25 + 0 + 1) / 4)


def test_one_outcome_alone_has_no_ranking() -> None:
    found = binary(np.ones(3, bool), np.array([0.2, 0.5, 0.9]))
    assert found.auc is None
    assert found.average_precision is None
    assert np.isfinite(found.log_loss)


@pytest.mark.parametrize("scores", [[0.5, 1.5], [0.5, -0.1], [0.5, np.nan]])
def test_what_is_no_probability_is_refused(scores: list[float]) -> None:
    with pytest.raises(ValueError, match="probabilities"):
        binary(np.array([0, 1], bool), np.array(scores))


def test_no_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        binary(np.empty(0, bool), np.empty(0))


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1))
def test_calibration_bins_hold_every_row_once(rows: list[tuple[float, bool]]) -> None:
    scores, labels = np.array([score for score, _ in rows]), np.array([label for _, label in rows])
    bins = calibration(labels, scores)
    assert sum(part.rows for part in bins) == len(rows)
    assert all(part.low <= part.predicted + 1e-9 and part.predicted <= part.high + 1e-9 for part in bins)
    assert sum(part.rows * part.observed for part in bins) == pytest.approx(labels.sum())


def test_a_hit_is_any_of_the_named_and_the_share_is_of_all() -> None:
    found = hits(np.array([[True, False], [False, False], [True, True]]))
    assert (found.any, found.share) == (pytest.approx(2 / 3), 0.5)
