"""ADWIN notices a change of the mean, and none where there is none; river's own is the oracle where it is installed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.drift.adwin import CLOCK, Adwin, changes


def steps(*levels: float, length: int = 1500, seed: int = 0) -> list[float]:
    """Coin flips whose chance changes from level to level."""
    rng = np.random.default_rng(seed)
    return [float(flip) for level in levels for flip in rng.random(length) < level]


@pytest.mark.parametrize("levels", [(0.2, 0.5), (0.8, 0.3), (0.1, 0.4, 0.1), (0.5,)])
@pytest.mark.parametrize("seed", range(4))
def test_it_notices_what_river_notices_and_when(levels: tuple[float, ...], seed: int) -> None:
    drift = pytest.importorskip("river.drift", reason="river is not installed")
    values, oracle = steps(*levels, seed=seed), drift.ADWIN(delta=0.002)
    theirs = [at for at, value in enumerate(values) if oracle.update(value) or oracle.drift_detected]
    ours = changes(values)
    assert bool(ours) == bool(theirs)
    for at in range(
        1500, len(values), 1500
    ):  # river empties its window after a change, ours keeps the newer part
        first = [next(one for one in found if one >= at) for found in (ours, theirs)]
        assert abs(first[0] - first[1]) <= 4 * CLOCK


def test_a_change_shrinks_the_window_to_what_came_after_it() -> None:
    window = Adwin()
    for value in steps(0.1, 0.9):
        window.update(value)
    assert window.width == pytest.approx(1500, abs=150)
    assert window.mean == pytest.approx(0.9, abs=0.03)


def test_false_alarms_are_rare() -> None:
    assert sum(bool(changes(steps(0.3, seed=seed))) for seed in range(40)) <= 2


@given(st.lists(st.floats(0, 1), min_size=1, max_size=300))
def test_the_window_is_the_newest_values(values: list[float]) -> None:
    window = Adwin()
    for value in values:
        window.update(value)
    kept = np.array(values[-window.width :])
    assert window.mean == pytest.approx(kept.mean(), abs=1e-9)
    assert window._window.spread == pytest.approx(((kept - kept.mean()) ** 2).sum(), abs=1e-7)


def test_a_bad_delta_is_refused() -> None:
    with pytest.raises(ValueError, match="delta is 0"):
        Adwin(0)
