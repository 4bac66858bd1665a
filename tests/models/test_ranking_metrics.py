"""Metrics of rankings against a ranker that walks through the list, and what ties are worth."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.families.interface import Array
from models.ranking_metrics import Places, places


def ranked(scores: Array, targets: Array, batch: int = 2) -> Places:
    parts = [scores[start : start + batch] for start in range(0, len(scores), batch)]
    return places(parts, targets)


def naive(row: list[float], target: int, k: int) -> tuple[float, float, float]:
    """Recall, reciprocal rank and gain, averaged over every order of equal scores."""
    found = []
    for lots in itertools.permutations(range(len(row))):
        order = sorted(range(len(row)), key=lambda item: (-row[item], lots[item]))
        rank = 1 + order.index(target)
        hit = rank <= k
        found.append((float(hit), hit / rank, hit / math.log2(1 + rank)))
    recall, reciprocal, gain = (sum(values) / len(found) for values in zip(*found, strict=True))
    return recall, reciprocal, gain


@settings(max_examples=60)
@given(
    st.lists(st.lists(st.integers(0, 3), min_size=5, max_size=5), min_size=1, max_size=4),
    st.integers(0, 4),
    st.integers(1, 7),
)
def test_equal_to_the_mean_over_all_orders_of_ties(rows: list[list[int]], target: int, k: int) -> None:
    scores = np.array(rows, np.float32)
    got = ranked(scores, np.full(len(rows), target))
    wanted = np.mean([naive([float(x) for x in row], target, k) for row in rows], 0)
    measured = (got.recall(k), got.reciprocal_rank(k), got.discounted_gain(k))
    assert measured == pytest.approx(tuple(wanted))


def test_scores_that_are_all_alike_are_worth_drawing_lots() -> None:
    got = ranked(np.zeros((7, 100), np.float32), np.arange(7))
    assert got.recall(20) == pytest.approx(0.2)


def test_a_score_that_is_no_number_is_refused() -> None:
    scores = np.array([[0.1, np.nan, 0.3]], np.float32)
    for target in (0, 1):
        with pytest.raises(ValueError, match="NaN"):
            ranked(scores, np.array([target]))


@pytest.mark.parametrize("targets", [0, 2, 4])
def test_rows_and_targets_are_as_many(targets: int) -> None:
    with pytest.raises(ValueError, match=rf"for {targets} targets"):
        ranked(np.zeros((3 if targets else 0, 5), np.float32), np.zeros(targets, int))
