"""Targets against their definition read event by event; nothing behind the end is taken for "no"."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.events import EVENT_TYPES
from models.replay.history import DAY_MS
from models.replay.targets import since_cart, targets
from models.tasks import split
from tests.models.replay.shop import START, event, sequences

GAP_S = 1800.0
GAP = 1_800_000
EXTRA = split(
    ("session_buy", "abandon_cart", "click", "returns_30m", "returns_1d", "orders_7d", "spend_7d")
).extra
TYPES = ["item_view", "add_to_cart", "purchase", "impression", "click"]
STEPS = [1_000, 600_000, GAP, GAP + 1, DAY_MS, 3 * DAY_MS]

events_of_shoppers = st.lists(
    st.lists(
        st.tuples(st.sampled_from(TYPES), st.sampled_from(STEPS), st.sampled_from("xy")),
        min_size=1,
        max_size=12,
    ),
    min_size=1,
    max_size=3,
)
Event = tuple[int, str, str]


def told(name: str, history: list[Event], at: int, until: int) -> float | None:
    """The target of one event from its definition; None = not known."""
    time, kind, item = history[at]
    if time >= until:
        return None
    seen = [one for one in history if one[0] < until]
    stop = at
    while stop + 1 < len(history) and history[stop + 1][0] - history[stop][0] <= GAP:
        stop += 1
    begun = at
    while begun > 0 and history[begun][0] - history[begun - 1][0] <= GAP:
        begun -= 1
    rest = [one for one in history[at + 1 : stop + 1] if one[0] < until]
    over = history[stop][0] + GAP < until
    if name in ("session_buy", "abandon_cart"):
        bought = any(one[1] == "purchase" for one in rest)
        so_far = [one[1] for one in history[begun : at + 1]]
        asked = name == "session_buy" or ("add_to_cart" in so_far and "purchase" not in so_far)
        return float(bought == (name == "session_buy")) if asked and over else None
    if name == "click":
        clicked = any(one[1:] == ("click", item) for one in rest)
        return float(clicked) if kind == "impression" and over else None
    if name.startswith("returns"):
        within = GAP if name == "returns_30m" else DAY_MS
        came = at + 1 < len(seen) and seen[at + 1][0] - time <= within
        return float(came) if time + within < until else None
    if time + 7 * DAY_MS >= until:
        return None
    bought_at = [one[0] for one in seen if one[1] == "purchase" and time < one[0] <= time + 7 * DAY_MS]
    return len(set(bought_at)) if name.startswith("orders") else 2.5 * len(bought_at)


def histories(drawn: list[list[tuple[str, int, str]]]) -> list[list[Event]]:
    made = []
    for shopper in drawn:
        times = START + np.cumsum([step for _, step, _ in shopper])
        made.append([(int(time), kind, item) for time, (kind, _, item) in zip(times, shopper, strict=True)])
    return made


def rows_of(made: list[list[Event]]) -> list[dict[str, Any]]:
    return [
        event(f"shopper {number}", time, event_type=kind, item_id=item, price=2.5, quantity=1.0)
        for number, history in enumerate(made)
        for time, kind, item in history
    ]


@settings(max_examples=150)
@given(events_of_shoppers, st.integers(0, 10 * DAY_MS))
def test_targets_are_what_their_definition_says(drawn: list[list[tuple[str, int, str]]], seen: int) -> None:
    made, until = histories(drawn), START + seen
    found = targets(sequences(rows_of(made)), EXTRA, until, GAP_S)
    row = 0
    for history in made:
        for at in range(len(history)):
            for column, name in enumerate(EXTRA):
                wanted = told(name, history, at, until)
                got = float(found.values[row, column]) if found.known[row, column] else None
                assert got == wanted, (name, history, at)
            row += 1


def test_the_next_event_is_of_one_type_and_none_is_known_behind_the_end() -> None:
    log = [
        event("a", START + at * 1000, event_type=kind)
        for at, kind in enumerate(["item_view", "click", "purchase"])
    ]
    extra = split(tuple(f"next_{name}" for name in EVENT_TYPES)).extra
    found = targets(sequences(log), extra, START + 2000, GAP_S)
    assert found.values[0].tolist() == [float(name == "click") for name in EVENT_TYPES]
    assert found.known[0].all()
    assert not found.known[1].any()  # the purchase comes after what was seen
    assert not found.known[2].any()


def test_events_since_the_cart_are_counted_within_the_session() -> None:
    kinds = ["item_view", "add_to_cart", "item_view", "purchase", "item_view"]
    log = [event("a", START + at * 1000, event_type=kind) for at, kind in enumerate(kinds)]
    log.append(event("a", START + 2 * GAP, event_type="item_view"))
    since, asked = since_cart(sequences(log), GAP_S)
    assert since.tolist() == [-1, 0, 1, 2, 3, -1]
    assert asked.tolist() == [False, True, True, False, False, False]


def test_a_task_without_a_horizon_of_that_kind_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="not of the kind orders"):
        targets(sequences([event("a", START)]), ("weekly",), START + DAY_MS, GAP_S)
