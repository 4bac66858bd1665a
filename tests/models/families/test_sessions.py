"""Sessions: their checks, their parts and the questions they ask."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.families.interface import Sessions
from models.families.sessions import checked, latest, questions, sessions_of

lists = st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=6), min_size=1, max_size=8)


def as_lists(sessions: Sessions) -> list[list[int]]:
    return [part.tolist() for part in np.split(sessions.items, sessions.bounds[1:-1])]


@given(lists)
def test_every_beginning_asks_for_the_item_that_came_next(given_lists: list[list[int]]) -> None:
    sessions = sessions_of(given_lists, 7)
    wanted = [(one[:end], one[end]) for one in given_lists for end in range(1, len(one))]
    if not wanted:
        with pytest.raises(ValueError, match="two items"):
            questions(sessions)
        return
    asked, targets = questions(sessions)
    assert list(zip(as_lists(asked), targets.tolist(), strict=True)) == wanted


def test_the_latest_are_held_out() -> None:
    rest, held = latest(sessions_of([[one] for one in range(10)], 10), 0.2)
    assert as_lists(held) == [[8], [9]]
    assert len(rest) == 8
    with pytest.raises(ValueError, match="cannot be held out"):
        latest(held, 0.1)


@pytest.mark.parametrize(
    ("items", "bounds", "message"),
    [
        ([], [0], "there are none"),
        ([1], [0, 1, 1], "session 1 has no items"),
        ([1, 7], [0, 2], "item 7 at 1 is not within 0 … 6"),
        ([-1], [0, 1], "item -1"),
    ],
)
def test_what_is_wrong_is_named(items: list[int], bounds: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        checked(Sessions(np.array(items, np.int32), np.array(bounds), 7))


def test_a_model_of_other_items_is_named() -> None:
    with pytest.raises(ValueError, match="of 7 items, but the model learned from 9"):
        checked(sessions_of([[1]], 7), 9)
