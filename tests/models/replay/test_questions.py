"""Censoring: a row whose time is not over is no row, and what is asked of the others never changes with later data."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models import survival
from models.replay import questions
from models.replay.history import DAY_MS
from models.replay.labels import Bought, label, vocabulary
from models.replay.questions import Rows
from models.replay.source import Interval
from models.replay.splits import Part
from tests.models.replay.shop import START, event, rows, sequences

DAYS = 120
EVENTS = rows(shoppers=25, days=DAYS)
SHOP = sequences(EVENTS)
ASKED = {
    "buy_3d": lambda of, part: questions.buys(of, part, 3),
    "buy_30d": lambda of, part: questions.buys(of, part, 30),
    "lapse_30d": questions.lapses,
    "wait_30d": questions.waits,
}


def told(found: Rows, of: object) -> dict[tuple[str, int], float]:
    users = of.users.to_pylist()  # type: ignore[attr-defined]
    return {
        (users[shopper], moment): float(came)
        for shopper, moment, came in zip(*(column.tolist() for column in found), strict=True)
    }


@settings(max_examples=20)
@given(st.integers(35, DAYS - 1), st.sampled_from(sorted(ASKED)))
def test_no_outcome_changes_when_more_of_the_future_is_known(day: int, name: str) -> None:
    stop = START + day * DAY_MS
    early = sequences([row for row in EVENTS if row["event_time"] < stop])
    then = told(ASKED[name](early, Part(Interval(START, stop))), early)
    later = told(ASKED[name](SHOP, Part(Interval(START, START + DAYS * DAY_MS))), SHOP)
    assert then == {row: came for row, came in later.items() if row in then}


@pytest.mark.parametrize(
    ("name", "days"), [("buy_3d", 3), ("buy_30d", 30), ("lapse_30d", 30), ("wait_30d", 30)]
)
def test_only_rows_whose_time_is_over_are_asked(name: str, days: int) -> None:
    stop = START + 60 * DAY_MS
    found = ASKED[name](SHOP, Part(Interval(START, stop)))
    assert len(found.came)
    assert (found.moment + days * DAY_MS <= stop).all()


def test_training_says_nothing_about_days_that_were_not_seen() -> None:
    """The loss has no gradient for the intervals after the data's end, whatever came to be there."""
    built = sequences([event("a", START), event("b", START), event("b", START + 4 * DAY_MS)])
    labels = label(built, vocabulary(Bought.of(built), 5), START + 6 * DAY_MS)
    logits = torch.zeros((len(built), len(survival.SURVIVAL_DAYS)), requires_grad=True)
    loss = survival.nll(logits, torch.from_numpy(labels.survived), torch.from_numpy(labels.bought)).sum()
    loss.backward()
    assert logits.grad is not None
    touched = logits.grad.numpy() != 0
    seen = np.array(survival.SURVIVAL_DAYS) <= 6
    assert touched[0].tolist() == seen.tolist()  # a: silent for the days seen, and those only
    assert touched[1].tolist() == (np.array(survival.SURVIVAL_DAYS) <= 5).tolist()  # b: bought in (3, 5]


def test_a_part_asks_its_shoppers_only() -> None:
    chosen = np.arange(len(SHOP.users)) % 3 == 0
    part = Part(Interval(START, START + DAYS * DAY_MS), chosen)
    for ask in ASKED.values():
        assert chosen[ask(SHOP, part).shopper].all()
