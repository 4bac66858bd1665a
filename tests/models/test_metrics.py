"""Metrics against values that can be worked out by hand."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from models.metrics import amounts, binary, calibration, decided, hits


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
    found = hits(np.array([[True, False], [False, False], [True, True]]), np.array([1, 3, 2]))
    assert (found.any, found.share) == (pytest.approx(2 / 3), 0.5)
    assert found.recall == pytest.approx((1 + 0 + 1) / 3)
    assert found.mrr == pytest.approx(2 / 3)


def test_the_expected_calibration_error_is_the_mean_gap_of_the_bins() -> None:
    found = binary(np.array([1, 0, 0, 1], bool), np.array([0.12, 0.18, 0.95, 0.97]))
    assert found.ece == pytest.approx(0.5 * abs(0.15 - 0.5) + 0.5 * abs(0.96 - 0.5))


LABELLED = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1)


@given(LABELLED)
def test_decisions_are_those_of_scikit_learn(rows: list[tuple[bool, bool]]) -> None:
    labels, said = (np.array(column) for column in zip(*rows, strict=True))
    found = decided(labels, said)
    assert found.accuracy == pytest.approx(sk.accuracy_score(labels, said))
    for ours, theirs in (
        (found.precision, sk.precision_score),
        (found.recall, sk.recall_score),
        (found.f1, sk.f1_score),
    ):
        if ours is not None:
            assert ours == pytest.approx(theirs(labels, said))
    assert (found.precision is None) == (not said.any())
    assert (found.recall is None) == (not labels.any())


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=1))
def test_errors_of_amounts_are_those_of_scikit_learn(rows: list[tuple[float, float]]) -> None:
    came, said = (np.array(column) for column in zip(*rows, strict=True))
    found = amounts(came, said)
    assert found.mse == pytest.approx(sk.mean_squared_error(came, said))
    assert found.mae == pytest.approx(sk.mean_absolute_error(came, said))
    assert found.rmse == pytest.approx(sk.root_mean_squared_error(came, said))


@given(st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1), st.integers(0, 3))
def test_named_categories_are_judged_as_the_definitions_say(rows: list[list[bool]], unnamed: int) -> None:
    came_true = np.array(rows)
    relevant = came_true.sum(1) + max(unnamed, 1)
    expected = {"recall": [], "mrr": [], "ndcg": []}
    for row, count in zip(rows, relevant.tolist(), strict=True):
        expected["recall"].append(sum(row) / count)
        expected["mrr"].append(1 / (row.index(True) + 1) if any(row) else 0.0)
        gain = sum(1 / math.log2(place + 2) for place, hit in enumerate(row) if hit)
        expected["ndcg"].append(gain / sum(1 / math.log2(place + 2) for place in range(min(count, 4))))
    found = hits(came_true, relevant)
    for name, values in expected.items():
        assert getattr(found, name) == pytest.approx(np.mean(values))


@pytest.mark.parametrize(
    ("judge", "said"),
    [
        (lambda: decided(np.empty(0, bool), np.empty(0, bool)), "at least one"),
        (lambda: amounts(np.array([1.0]), np.array([np.nan])), "not finite"),
        (lambda: amounts(np.empty(0), np.empty(0)), "at least one"),
        (lambda: hits(np.ones((1, 2), bool), np.array([1])), "more hits than came"),
        (lambda: hits(np.zeros((1, 2), bool), np.array([0])), "nothing came"),
    ],
)
def test_what_cannot_be_judged_is_refused_in_words(judge: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        judge()
