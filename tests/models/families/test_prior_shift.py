"""The share of buyers of a new time is found from scores alone, and scores are moved to it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import metrics
from models.families.logistic import Logistic
from models.families.prior_shift import moved, share


def drawn(buyers, rows=20_000, seed=0):
    """Rows of two normal classes a deviation and a half apart, of which `buyers` buy, and whether each does."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(rows) < buyers).astype(np.float64)
    return rng.normal(1.5 * labels)[:, None], labels


@pytest.mark.parametrize("now", [0.03, 0.2, 0.6])
def test_the_share_of_the_new_time_is_found_and_its_probabilities_come_true(now):
    model = Logistic().fit(*drawn(0.1))
    rows, labels = drawn(now, seed=1)
    scores = model.predict(rows)
    found = share(scores, 0.1)
    assert found == pytest.approx(labels.mean(), rel=0.1, abs=0.01)
    better = metrics.binary(labels, moved(scores, 0.1, found))
    assert better.brier < metrics.binary(labels, scores).brier
    assert better.ece < 0.02
    assert better.auc == metrics.binary(labels, scores).auc


def test_without_shift_nothing_is_done():
    rows, labels = drawn(0.1)
    scores = Logistic().fit(rows, labels).predict(rows)
    assert share(scores, labels.mean()) == pytest.approx(labels.mean(), abs=1e-4)
    assert np.allclose(moved(scores, 0.1, 0.1), scores)


def test_what_balancing_the_classes_did_is_undone():
    """A balanced model learnt as if half bought; the share that it really learnt from is known."""
    rows, labels = drawn(0.1)
    balanced = moved(Logistic(balanced=True).fit(rows, labels).predict(rows), 0.5, labels.mean())
    assert np.abs(balanced - Logistic().fit(rows, labels).predict(rows)).max() < 0.03


def test_scores_that_all_say_no_find_next_to_no_buyers():
    found = share(np.zeros(5), 0.3)
    assert 0.0 < found < 1e-6
    assert moved(np.array([0.5]), 0.3, found)[0] < 1e-6


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99), st.lists(st.floats(0.0, 1.0), min_size=1))
def test_moving_there_and_back_changes_nothing(learnt, now, scores):
    there = moved(np.array(scores), learnt, now)
    assert ((there >= 0) & (there <= 1)).all()
    assert np.allclose(moved(there, now, learnt), scores, atol=1e-9)


@pytest.mark.parametrize(
    ("scores", "learnt", "problem"),
    [
        ([], 0.1, r"shape \(0,\)"),
        ([[0.1]], 0.1, r"shape \(1, 1\)"),
        ([0.1, np.nan], 0.1, "outside"),
        ([0.1, 1.5], 0.1, "outside"),
        ([0.1], 0.0, "one class only"),
        ([0.1], 1.0, "one class only"),
    ],
)
def test_no_rows_no_probabilities_and_one_class_are_refused(scores, learnt, problem):
    with pytest.raises(ValueError, match=problem):
        share(np.array(scores), learnt)
