"""Recall: what was seen before, as looking through the list of past events says, however a history is cut."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.architecture import RECALL_HALVES, Architecture
from models.recall import Recall

REACH = 5
RECALL = Recall(Architecture(recall=REACH))
WIDTH = 2 * REACH + 1
events = st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans())
histories = st.lists(events, min_size=1, max_size=20)


def run(history: list[tuple[int, int, bool]], carried: torch.Tensor) -> tuple[torch.Tensor, ...]:
    ids = torch.tensor([[item, category] for item, category, _ in history])[:, None]
    return RECALL(ids, torch.tensor([[goes_on] for *_, goes_on in history]), carried)


def looked_through(history: list[tuple[int, int, bool]]) -> tuple[list[list[float]], list[bool]]:
    """seen and again of every event, by their definition."""
    seen, repeated, moment = [], [], 0
    for at, (*event, goes_on) in enumerate(history):
        before = history[max(0, at - REACH) : at][::-1]
        row: list[float] = []
        for column, name in enumerate(event):
            ages = [age for age, past in enumerate(before, 1) if name and past[column] == name]
            row += [np.log1p(len(ages)), 2 ** (-ages[0] / RECALL_HALVES) if ages else 0.0]
        seen.append(row)
        moment = moment + 1 if goes_on else 0
        mine = [past[1] for past in before[:moment]]
        repeated.append(bool(event[1]) and event[1] in mine)
    return seen, repeated


@given(histories)
def test_it_says_what_looking_through_the_last_events_says(history: list[tuple[int, int, bool]]) -> None:
    history = [(*history[0][:2], False), *history[1:]]
    seen, again, _ = run(history, torch.zeros(1, WIDTH))
    wanted, repeated = looked_through(history)
    np.testing.assert_allclose(seen[:, 0].numpy(), wanted, atol=1e-6)
    assert again[:, 0].bool().tolist() == repeated


@given(histories, st.integers(0, 20))
def test_a_history_in_two_parts_says_the_same_as_in_one(
    history: list[tuple[int, int, bool]], cut: int
) -> None:
    cut = min(max(cut, 1), len(history))
    whole = run(history, torch.zeros(1, WIDTH))
    first = run(history[:cut], torch.zeros(1, WIDTH))
    rest = run(history[cut:], first[2]) if cut < len(history) else (whole[0][:0], whole[1][:0], first[2])
    for place in (0, 1):
        assert torch.equal(torch.cat([first[place], rest[place]]), whole[place])
    assert torch.equal(rest[2], whole[2])
