"""What is pure in bench/next_item.py: the gain of a list."""

from __future__ import annotations

import math

import pytest

from bench.next_item import SIZE, gain


def test_a_list_gains_by_how_early_it_names_what_came() -> None:
    assert gain([1, 2, 3], frozenset({9})) == (0.0, 0.0)
    assert gain([1, 2, 3], frozenset({1})) == (1.0, 1.0)
    assert gain([1, 2, 3], frozenset({2})) == (1.0, pytest.approx(1 / math.log2(3)))
    assert gain([1, 2, 3], frozenset({1, 2, 3})) == (1.0, pytest.approx(1.0))
    assert gain([*range(SIZE), 99], frozenset({99})) == (0.0, 0.0)  # behind the last place
    assert gain([], frozenset({1})) == (0.0, 0.0)
