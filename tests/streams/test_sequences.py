"""Ordinary events applied all at once leave what the careful way, event by event, leaves: wherever batches are cut."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.carried import carried
from models.engine import Engine, load
from models.events import EVENT, TYPE_CODE
from models.release import Card, read
from streams.rows import Rows
from streams.sequences import Applied, Sequences
from tests.models.releases import written

SHOPPERS, RING = 4, 5
START, MINUTE = 1_700_000_000_000, 60_000
TYPES = [TYPE_CODE[name] for name in ("page_view", "add_to_cart", "purchase")]
NOT_FINITE = 12.0  # the price of an event that the model has no numbers for
HIDDEN = 1e-6
COUNTS = ("doubles", "late", "too_late", "skipped")

Log = tuple[np.ndarray, np.ndarray, np.ndarray]  # of each event: slot, EVENT, id

EVENTS = st.tuples(
    st.sampled_from(["ordinary"] * 8 + ["double", "late", "erasure"]),
    st.integers(0, SHOPPERS - 1),
    st.sampled_from(TYPES),
    st.sampled_from([0, 1, 7, 45, 3_000]),  # minutes since the event before: within a session, and beyond
    st.integers(1, 9),  # how far back a double or a late event reaches
    st.sampled_from([1.0, 2.0, 3.0, NOT_FINITE]),
)


@st.composite
def logs(draw: st.DrawFn) -> Log:
    drawn = draw(st.lists(EVENTS, min_size=1, max_size=60))
    slots, events = np.zeros(len(drawn), np.int64), np.zeros(len(drawn), EVENT)
    ids, now = np.arange(1, len(drawn) + 1, dtype=np.uint64), START
    for at, (kind, slot, code, minutes, back, price) in enumerate(drawn):
        now += minutes * MINUTE
        slots[at], events[at] = slot, (now, 7 * at, 1 + at % 5, price, 1, code, 1)
        if kind == "double":
            there = max(0, at - back)
            slots[at], events[at], ids[at] = slots[there], events[there], ids[there]
        elif kind == "late":
            events["time"][at] -= back * 50 * MINUTE
        elif kind == "erasure":
            events["type"][at] = TYPE_CODE["erasure"]
    return slots, events, ids


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Engine, Card]]:
    uris = [written(tmp_path_factory.mktemp("release"), seed).uri for seed in (1, 2)]
    return [(_spoiled(load(uri)), read(uri).card) for uri in uris]


def _spoiled(engine: Engine) -> Any:
    """The engine, but for events of the price NOT_FINITE it gives no numbers."""

    def step(ids: Any, dense: Any, hidden: Any) -> Any:
        trunk, after = engine.step(ids, dense, hidden)
        bad = np.isclose(dense[:, 0], np.log1p(NOT_FINITE) / 5)
        trunk[bad], after[bad] = np.nan, np.nan
        return trunk, after

    sizes = {"trunk_size": engine.trunk_size, "state_size": engine.state_size}
    return SimpleNamespace(step=step, release_id=engine.release_id, **sizes)


class Careful(Sequences):
    """Nothing is taken for ordinary."""

    def _odd(self, groups: Any, events: Any, ids: Any) -> np.ndarray:
        return np.ones(len(groups.order), bool)


def begin(kind: type[Sequences], releases: list[tuple[Engine, Card]]) -> Sequences:
    engine, card = releases[0]
    rows = Rows(carried(engine, SHOPPERS), RING, lambda users: [None] * len(users))
    rows.locate([b"%d" % slot for slot in range(SHOPPERS)])
    return kind(rows, engine, card.features)


def applied(to: Sequences, log: Log, bounds: list[int]) -> list[Applied]:
    slots, events, ids = log
    return [
        to.apply(slots[first:stop], events[first:stop], ids[first:stop], np.arange(first, stop))
        for first, stop in pairwise(bounds)
    ]


def check_same(one: Sequences, other: Sequences) -> None:
    every = np.arange(SHOPPERS)
    mine, theirs = one._rows.packed(every), other._rows.packed(every)
    for part in ("meta", "ids", "ring"):
        assert mine[part].tobytes() == theirs[part].tobytes(), part
    np.testing.assert_allclose(mine["hidden"], theirs["hidden"], atol=HIDDEN, rtol=0)
    assert (one._rows.dirty == other._rows.dirty).all()


def check_same_outcome(mine: list[Applied], theirs: list[Applied]) -> None:
    for name in COUNTS:
        assert sum(getattr(done, name) for done in mine) == sum(getattr(done, name) for done in theirs), name
    for part in ("scored", "failed"):
        ours, others = (np.concatenate([getattr(done, part) for done in each]) for each in (mine, theirs))
        assert (ours == others).all(), part
    trunks = [np.concatenate([done.trunk[done.scored] for done in each]) for each in (mine, theirs)]
    np.testing.assert_allclose(*trunks, atol=HIDDEN, rtol=0)


@settings(max_examples=150)
@given(log=logs(), data=st.data())
def test_all_at_once_is_what_the_careful_way_gives(
    releases: list[tuple[Engine, Card]], log: Log, data: st.DataObject
) -> None:
    size = len(log[0])
    cuts = data.draw(st.lists(st.integers(0, size), max_size=4))
    bounds, alone = sorted({0, size, *cuts}), list(range(size + 1))
    fast, careful, single = begin(Sequences, releases), begin(Careful, releases), begin(Sequences, releases)
    done = applied(fast, log, bounds)
    for other, how in ((careful, bounds), (single, alone), (begin(Careful, releases), alone)):
        check_same_outcome(done, applied(other, log, how))
        check_same(fast, other)


@settings(max_examples=60)
@given(log=logs(), data=st.data())
def test_what_is_applied_already_is_passed_over_and_another_release_renews_the_rows(
    releases: list[tuple[Engine, Card]], log: Log, data: st.DataObject
) -> None:
    """A redo begins somewhere before where the rows stand; then a release is swapped, and both have to go on."""
    size = len(log[0])
    reached = data.draw(st.integers(0, size))
    redo = data.draw(st.integers(0, reached))
    both = begin(Sequences, releases), begin(Careful, releases)
    for each in both:
        applied(each, log, [0, reached])
        each.use(releases[1][0])
    check_same_outcome(*(applied(each, log, [redo, size]) for each in both))
    check_same(*both)


def test_ordinary_events_take_the_short_way(releases: list[tuple[Engine, Card]], monkeypatch: Any) -> None:
    monkeypatch.setattr(Sequences, "_round", None)
    slots, events = np.arange(40) % SHOPPERS, np.zeros(40, EVENT)
    events["time"], events["type"] = START + np.arange(40) * MINUTE, TYPES[2]
    to = begin(Sequences, releases)
    (done,) = applied(to, (slots, events, np.arange(1, 41, dtype=np.uint64)), [0, 40])
    assert done.scored.all()
    assert to._rows.meta["length"].tolist() == [RING] * SHOPPERS
    assert to._rows.meta["context"]["events"].tolist() == [10] * SHOPPERS
