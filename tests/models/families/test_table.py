"""Standardised inputs, folds and what is held out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.families import table
from models.families.table import Standard

numbers = st.one_of(st.floats(-1e6, 1e6), st.just(np.nan))


@settings(max_examples=60)
@given(arrays(np.float64, st.tuples(st.integers(1, 12), st.integers(1, 4)), elements=numbers), st.booleans())
def test_standardised_inputs_are_finite_with_a_flag_for_each_column_that_had_holes(inputs, log):
    standard = Standard.of(inputs, log)
    made = standard(inputs)
    holes = np.isnan(inputs)
    assert made.shape == (len(inputs), inputs.shape[1] + holes.any(axis=0).sum())
    assert np.isfinite(made).all()
    assert np.array_equal(made[:, inputs.shape[1] :], holes[:, holes.any(axis=0)])


def test_columns_get_mean_0_and_deviation_1_over_what_is_known():
    inputs = np.array([[1.0, 5.0], [3.0, np.nan], [5.0, 5.0]])
    made = Standard.of(inputs, log=False)(inputs)
    assert made[:, 0] == pytest.approx([-1.2247449, 0.0, 1.2247449])
    assert made[:, 1].tolist() == [0.0, 0.0, 0.0]
    assert made[:, 2].tolist() == [0.0, 1.0, 0.0]


@given(arrays(np.float64, 20, elements=st.floats(-20, 20)))
def test_sigmoid_and_logit_undo_each_other(logits):
    assert np.allclose(table.logit(table.sigmoid(logits)), logits, atol=1e-6, rtol=1e-6)


def test_extremes_stay_finite():
    assert table.sigmoid(np.array([-1e6, 0.0, 1e6])).tolist() == [0.0, 0.5, 1.0]
    assert np.isfinite(table.logit(np.array([0.0, 1.0]))).all()


@given(st.integers(2, 6), st.integers(0, 5))
def test_folds_are_even_and_hold_as_many_of_each_class(count, seed):
    labels = np.repeat([0.0, 1.0], [70, 30])
    fold = table.folds(labels, count, seed)
    for one in (0, 1):
        sizes = np.bincount(fold[labels == one], minlength=count)
        assert sizes.max() - sizes.min() <= 1


@given(st.lists(st.integers(0, 9), min_size=30, max_size=60), st.integers(0, 5))
def test_rows_of_a_group_are_never_torn_apart(groups, seed):
    groups = np.array([*range(10), *groups])
    fold = table.folds(np.zeros(len(groups)), 3, seed, groups)
    apart = table.held_out(len(groups), 0.3, seed, groups)
    for one in np.unique(groups):
        assert len(set(fold[groups == one])) == 1
        assert len(set(apart[groups == one])) == 1


def test_fewer_rows_or_groups_than_folds_are_refused():
    with pytest.raises(ValueError, match="2 rows of class 1 for 3 folds"):
        table.folds(np.array([0, 0, 0, 0, 1, 1]), 3, 0)
    with pytest.raises(ValueError, match="2 groups for 3 folds"):
        table.folds(np.zeros(4), 3, 0, np.array([1, 1, 2, 2]))


def test_balanced_classes_weigh_as_much_and_all_rows_together_as_before():
    labels = np.repeat([0.0, 1.0], [90, 10])
    weights = table.class_weights(labels, balanced=True)
    assert weights[labels == 1].sum() == pytest.approx(weights[labels == 0].sum())
    assert weights.sum() == pytest.approx(100)
