"""Intervals looked at again and again."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from models.effect.difference import Effect, difference
from models.effect.sequential import LEAST, always, widening
from tests.models.effect.made import made

LOOKS = np.unique(np.geomspace(LEAST, 6000, 40).astype(int))


def test_the_sequence_holds_the_truth_at_all_looks_where_single_intervals_do_not() -> None:
    runs, safe, single = 300, 0, 0
    for seed in range(runs):
        shoppers = made(LOOKS[-1], effect=0.3, seed=seed)
        found = [(difference(shoppers.revenue[:rows], shoppers.treated[:rows]), int(rows)) for rows in LOOKS]
        sequence = [always(effect, rows) for effect, rows in found]
        safe += all(one is not None and one.low <= shoppers.truth <= one.high for one in sequence)
        single += all(
            one.interval is not None and one.interval.low <= shoppers.truth <= one.interval.high
            for one, _ in found
        )
    assert safe >= stats.binom.ppf(0.005, runs, 0.95)
    assert single < 0.85 * runs, "single intervals were looked at often and yet held: nothing was tested"


def test_it_is_wider_than_a_single_interval_and_narrowest_near_what_was_planned() -> None:
    assert 2.5 < widening(10_000) < 3.5
    assert widening(200) > widening(10_000)
    assert widening(10_000_000) > widening(10_000)
    assert widening(1_000, alpha=0.01) > widening(1_000)


def test_before_there_are_enough_shoppers_it_says_nothing() -> None:
    effect = Effect(1, 0, 1, 0.1)
    assert always(effect, LEAST - 1) is None
    assert always(Effect(1, 1, 0, 0.0), 1000) is None
    found = always(effect, 10_000)
    assert found is not None
    assert found.low == pytest.approx(1 - 0.1 * widening(10_000))
