"""The featurizer gives the same inputs however the stream is cut, and stays bounded on any input."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import featurizer
from models.context import CONTEXT, advance, context_within, step_context
from models.events import DEVICES, EVENT, EVENT_TYPES
from models.featurizer import DENSE, FeatureSpec, featurize

SPEC = FeatureSpec()
MINUTE = 60_000
START = 1_500_000_000_000


def events_at(times: list[int]) -> np.ndarray:
    events = np.zeros(len(times), EVENT)
    events["time"] = times
    events["price"] = np.nan
    events["quantity"] = np.nan
    return events


@st.composite
def streams(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Shoppers (N,) and events (N,) in the order of the log, late and simultaneous ones among them."""
    n = draw(st.integers(1, 60))
    shoppers = np.array(draw(st.lists(st.integers(0, 5), min_size=n, max_size=n)))
    minutes = draw(st.lists(st.integers(-90, 200_000), min_size=n, max_size=n))
    if draw(st.booleans()):
        minutes = sorted(minutes)
    events = events_at([START + MINUTE * minute for minute in minutes])
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    events["item"] = rng.integers(0, 2**32, n, np.uint32) * rng.integers(0, 2, n, np.uint32)
    events["category"] = rng.integers(0, 9, n)
    events["price"] = np.where(rng.random(n) < 0.2, np.nan, rng.gamma(2, 5, n))
    events["type"] = rng.integers(0, len(EVENT_TYPES), n)
    events["device"] = rng.integers(0, len(DEVICES), n)
    return shoppers, events


def run(
    shoppers: np.ndarray, events: np.ndarray, cuts: list[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ids, dense in the order of the log, and the last contexts, from batches that end at `cuts`."""
    state = np.zeros(6, CONTEXT)
    ids = np.empty((len(events), 4), np.int32)
    dense = np.empty((len(events), len(DENSE)), np.float32)
    bounds = [0, *sorted(cuts), len(events)]
    for first, stop in pairwise(bounds):
        rows = first + np.argsort(shoppers[first:stop], kind="stable")
        context = context_within(shoppers[rows], events[rows], state, SPEC)
        state = advance(shoppers[rows], events[rows], context, state, SPEC)
        ids[rows], dense[rows] = featurize(events[rows], context, SPEC)
    return ids, dense, state


@settings(max_examples=200)
@given(streams(), st.data())
def test_batches_cut_anywhere_give_the_same_bits(
    stream: tuple[np.ndarray, np.ndarray], data: st.DataObject
) -> None:
    shoppers, events = stream
    cuts = data.draw(st.lists(st.integers(0, len(events)), max_size=8))
    whole, parts = run(shoppers, events, []), run(shoppers, events, cuts)
    for one, other in zip(whole, parts, strict=True):
        assert one.tobytes() == other.tobytes()


@given(streams())
def test_contexts_follow_a_plain_loop(stream: tuple[np.ndarray, np.ndarray]) -> None:
    shoppers, events = stream
    rows = np.argsort(shoppers, kind="stable")
    got = context_within(shoppers[rows], events[rows], np.zeros(6, CONTEXT), SPEC)
    seen: dict[int, list[int]] = {}
    for shopper, time, context in zip(shoppers[rows], events["time"][rows], got, strict=True):
        previous, first, count, sessions = seen.get(shopper, [0, 0, 0, 0])
        assert context.tolist()[:4] == (previous, first, count, sessions)
        opens = count == 0 or time - previous > 30 * MINUTE
        seen[shopper] = [max(previous, time), first or time, count + 1, sessions + opens]


def test_step_context_is_advance_for_one_event_each() -> None:
    events = events_at([START, START + MINUTE])
    start = np.zeros(2, CONTEXT)
    start[1] = (START - 40 * MINUTE, START - 80 * MINUTE, 7, 2, 0, 0.0, (0.0, 0.0, 0.0))
    after = step_context(events, context_within(np.arange(2), events, start, SPEC), SPEC)
    assert [row[:4] for row in after.tolist()] == [
        (START, START, 1, 1),
        (START + MINUTE, START - 80 * MINUTE, 8, 3),
    ]


@given(streams())
def test_baskets_fade_by_their_half_lives_as_a_plain_loop_has_it(
    stream: tuple[np.ndarray, np.ndarray],
) -> None:
    """A basket is a purchase more than the session gap after the shopper's latest one; late purchases change nothing."""
    shoppers, events = stream
    rows = np.argsort(shoppers, kind="stable")
    got = context_within(shoppers[rows], events[rows], np.zeros(6, CONTEXT), SPEC)
    seen: dict[int, list[int]] = {}  # times of each shopper's purchases that moved the clock on
    for shopper, event, context in zip(shoppers[rows], events[rows], got, strict=True):
        bought = seen.setdefault(shopper, [])
        opened = [t for at, t in enumerate(bought) if at == 0 or t - bought[at - 1] > 30 * MINUTE]
        latest = bought[-1] if bought else 0
        assert context["purchase_time"] == latest
        for half_life, count in zip((7.0, 30.0, 90.0), context["baskets"], strict=True):
            faded = sum(2 ** (-(latest - t) / (half_life * 1440 * MINUTE)) for t in opened)
            assert count == pytest.approx(faded, rel=1e-4, abs=1e-5)
        if event["type"] == EVENT_TYPES.index("purchase") and event["time"] > latest:
            bought.append(int(event["time"]))


def test_a_late_event_counts_as_no_time_passed_and_does_not_move_time_back() -> None:
    events = events_at([START, START - 90 * MINUTE, START + 5 * MINUTE])
    context = context_within(np.zeros(3, int), events, np.zeros(1, CONTEXT), SPEC)
    dense = featurize(events, context, SPEC).dense
    assert context["previous_time"].tolist() == [0, START, START]
    assert dense[1, DENSE.index("log_since_previous")] == 0
    assert dense[2, DENSE.index("log_since_previous")] == pytest.approx(np.log1p(300) / 8)
    assert dense[:, DENSE.index("new_session")].tolist() == [1, 0, 0]


def test_bounded_and_finite_on_absurd_input() -> None:
    events = np.zeros(5, EVENT)
    events["time"] = [-(2**40), 0, 1, 2**42, 2**42]
    events["price"] = [np.nan, np.inf, -np.inf, -5.0, 3e38]
    events["quantity"] = [np.nan, np.inf, -1, 65504, 0]
    events["item"] = 2**32 - 1
    context = context_within(np.zeros(5, int), events, np.zeros(1, CONTEXT), SPEC)
    context["sessions"][-1] = 10**6
    ids, dense = featurize(events, context, SPEC)
    assert np.isfinite(dense).all()
    assert -1 <= dense.min() <= dense.max() <= 5
    assert ids[:, 0].max() < SPEC.item_buckets


def test_clock_features_are_utc_hour_and_weekday() -> None:
    monday_six = 1_483_336_800_000  # 2017-01-02 06:00 UTC
    events = events_at([monday_six])
    dense = featurize(events, np.zeros(1, CONTEXT), SPEC).dense[0]
    at = DENSE.index("hour_sin")
    assert dense[at : at + 4] == pytest.approx([1, 0, 0, 1], abs=1e-6)


def test_fingerprint_moves_with_the_spec_and_with_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    before = SPEC.fingerprint()
    assert before == FeatureSpec().fingerprint()
    assert before != FeatureSpec(item_buckets=8192).fingerprint()
    for constant, value in (("_FORMULA", 99), ("DENSE", DENSE[::-1]), ("EVENT_TYPES", EVENT_TYPES[::-1])):
        with monkeypatch.context() as patched:
            patched.setattr(featurizer, constant, value)
            assert FeatureSpec(version=SPEC.version).fingerprint() != before


def test_nothing_in_nothing_out() -> None:
    none, start = np.zeros(0, EVENT), np.zeros(3, CONTEXT)
    context = context_within(np.zeros(0, int), none, start, SPEC)
    assert advance(np.zeros(0, int), none, context, start, SPEC).tobytes() == start.tobytes()
    assert featurize(none, context, SPEC).dense.shape == (0, len(DENSE))
