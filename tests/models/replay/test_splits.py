"""Splits: no shopper is ever in two parts, and a shopper's place does not depend on the others."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.replay.source import Interval, SourceProblem
from models.replay.splits import by_fold, by_time, by_user, places

INTERVAL = Interval(0, 1000)


def users(count: int) -> pa.Array:
    return pa.array([f"user-{number}" for number in range(count)])


@given(st.integers(30, 300), st.integers(3, 6), st.integers(0, 5))
def test_k_folds_by_user_score_every_shopper_once_and_never_split_one(
    count: int, folds: int, seed: int
) -> None:
    try:
        found = list(by_fold(users(count), INTERVAL, folds, seed))
    except SourceProblem:
        return  # an empty fold
    scored = sum(split.score.shoppers.astype(int) for split in found)
    assert (scored == 1).all()
    for split in found:
        parts = np.stack([split.learn.shoppers, split.tune.shoppers, split.score.shoppers])
        assert (parts.sum(axis=0) == 1).all()
        assert parts.any(axis=1).all()


def test_by_user_is_70_15_15_and_a_place_does_not_depend_on_who_else_is_there() -> None:
    split = by_user(users(4000), INTERVAL, seed=1)
    shares = [part.shoppers.mean() for part in (split.learn, split.tune, split.score)]
    assert shares == pytest.approx([0.7, 0.15, 0.15], abs=0.03)
    assert places(users(4000), 1)[:50].tolist() == places(users(50), 1).tolist()
    assert places(users(50), 1).tolist() != places(users(50), 2).tolist()


def test_what_cannot_be_split_says_what_to_do() -> None:
    with pytest.raises(SourceProblem, match="at least 3"):
        list(by_fold(users(50), INTERVAL, 2, 0))
    with pytest.raises(SourceProblem, match="fewer folds"):
        list(by_fold(users(4), INTERVAL, 20, 0))
    with pytest.raises(SourceProblem, match="more shoppers"):
        by_user(users(2), INTERVAL, 0)
    with pytest.raises(SourceProblem, match="would be scored"):
        by_time(Interval(0, 10), Interval(9, 20))
    assert by_time(Interval(0, 10), Interval(10, 20)).learn.of(np.arange(3)).all()
