"""Running shares of event types: as counted one event after another, however a history is cut."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.architecture import HABIT_PRIOR, HABIT_RATES, HABIT_SCALE, TYPES
from models.habits import habits

WIDTH = len(HABIT_RATES) * (TYPES + 1)
histories = st.lists(st.integers(0, TYPES - 1), min_size=1, max_size=60)


def counted(kinds: list[int]) -> np.ndarray:
    """The shares after the last event, by their definition."""
    found = []
    for rate in HABIT_RATES:
        ages = np.arange(len(kinds))[::-1]
        weights = rate * (1 - rate) ** ages
        sums = np.bincount(kinds, weights=weights, minlength=TYPES) + HABIT_PRIOR * rate
        found.append(np.log(sums / (weights.sum() + HABIT_PRIOR * rate * TYPES)) / HABIT_SCALE)
    return np.concatenate(found)


@given(histories)
def test_the_shares_are_decaying_counts_over_their_sum(kinds: list[int]) -> None:
    shares, _ = habits(torch.tensor(kinds)[:, None], torch.zeros(1, WIDTH))
    np.testing.assert_allclose(shares[-1, 0].numpy(), counted(kinds), atol=2e-5)


@given(histories, st.integers(0, 60))
def test_a_history_in_two_parts_says_the_same_as_in_one(kinds: list[int], cut: int) -> None:
    events, start = torch.tensor(kinds)[:, None], torch.zeros(1, WIDTH)
    whole, after = habits(events, start)
    first, between = habits(events[:cut], start) if 0 < cut < len(kinds) else (whole[:0], start)
    rest, ended = habits(events[len(first) :], between)
    torch.testing.assert_close(torch.cat([first, rest]), whole, atol=1e-5, rtol=0)
    torch.testing.assert_close(ended, after, atol=1e-5, rtol=0)


def test_shares_of_nothing_seen_are_even_before_the_first_event_counts() -> None:
    shares, _ = habits(torch.tensor([[3]]), torch.zeros(1, WIDTH))
    for part in shares[0, 0].split(TYPES):
        others = np.delete(part.numpy(), 3)
        assert np.ptp(others) < 1e-6
        assert part[3] > others[0]
