"""What a shopper's earlier events mean for the next one's features: a `CONTEXT` of 48 bytes per shopper.

It is carried from event to event in the order of the log, so that a stream cut into batches anywhere gives the same
features, bit for bit, as one pass over the whole. Structured rows are moved with take, compress, put and repeat, which
copy bytes; indexing and copy() go field by field, ten times slower.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from models.events import TYPE_CODE

if TYPE_CHECKING:
    from models.featurizer import FeatureSpec

Array = npt.NDArray[Any]

CONTEXT = np.dtype(
    [
        ("previous_time", "<i8"),  # latest event time so far, ms; 0 = none
        ("first_time", "<i8"),  # time of the first event, ms; 0 = none
        ("events", "<u4"),  # events so far
        ("sessions", "<u4"),  # sessions so far
        ("purchase_time", "<i8"),  # latest purchase so far, ms; 0 = none
        ("purchase_gap", "<f4"),  # days from the basket before to the latest one; 0 = none
        (
            "baskets",
            "<f4",
            (3,),
        ),  # baskets so far, each fading with the half-lives FADING_DAYS, as of purchase_time
    ]
)

FADING_DAYS = (7.0, 30.0, 90.0)

_FADING = -np.array(FADING_DAYS)
_HALVES = np.dtype([("visits", "V24"), ("buying", "V24")])  # of CONTEXT
_DAY_S = 86_400.0
_DAY_MS = 86_400_000
_PURCHASE = TYPE_CODE["purchase"]


def context_within(shopper: Array, events: Array, start: Array, spec: FeatureSpec) -> Array:
    """What each event's shopper had done before it: CONTEXT (N,).

    shopper: int (N,), position in `start`; a shopper's events stand together, in the order of the log.
    events: EVENT (N,). start: CONTEXT (S,), each shopper's context before this batch.
    A late event does not move `previous_time` back: it is the latest time seen so far.
    """
    if not len(events):
        return np.zeros(0, CONTEXT)
    first, heads, segment = _segments(shopper)
    if len(heads) == len(events):
        return start.take(shopper)  # one event each, as in most small batches
    before, times = start.take(shopper[heads]), events["time"].copy()
    known = before["events"] > 0
    context = before.take(segment)
    context["events"] += (np.arange(len(events)) - heads[segment]).astype(np.uint32)
    latest = _running_latest(times, heads, segment, before["previous_time"], known)
    context["previous_time"] = latest
    opened = opens_session(times, latest, context["events"], spec)
    running = opened.cumsum(dtype=np.uint32)
    running -= opened
    context["sessions"] += running - running[heads][segment]
    if not known.all():
        context["first_time"] = np.where(known, before["first_time"], times[heads])[segment]
        context["first_time"][heads[~known]] = 0
    # Of purchases only those matter here that have an event of their shopper after them.
    seen = ((events["type"][:-1] == _PURCHASE) & ~first[1:]).nonzero()[0]
    if len(seen):
        _baskets_within(seen, times, segment, before, context, spec)
    return context


def advance(shopper: Array, events: Array, context: Array, start: Array, spec: FeatureSpec) -> Array:
    """Each shopper's context after the batch: CONTEXT (S,), a copy of `start` with the shoppers of the batch
    moved on.

    Arguments as for `context_within`; context: what that returned for them.
    """
    after = start.repeat(1)
    if len(events):
        last = np.ones(len(events), bool)
        np.not_equal(shopper[1:], shopper[:-1], out=last[:-1])
        moved = context.compress(last)
        _move_on(events.compress(last), moved, spec)
        after.put(shopper[last], moved)
    return after


def step_context(events: Array, context: Array, spec: FeatureSpec) -> Array:
    """The contexts right after each event (N,), from the contexts right before them."""
    after = context.repeat(1)
    _move_on(events, after, spec)
    return after


def _move_on(events: Array, context: Array, spec: FeatureSpec) -> None:
    """`step_context` in place."""
    times, previous, count = events["time"], context["previous_time"], context["events"]
    rows = moving(events["type"], times, context)
    if len(rows):
        context.put(rows, add_basket(context.take(rows), times[rows], spec))
    context["sessions"] += opens_session(times, previous, count, spec)
    new = count == 0
    np.maximum(previous, times, out=previous)
    if new.any():
        previous[new] = context["first_time"][new] = times[new]
    count += np.uint32(1)


def moving(types: Array, times: Array, context: Array) -> Array:
    """Rows of the purchases later than all before: only they change what is known of baskets."""
    return cast(Array, ((types == _PURCHASE) & (times > context["purchase_time"])).nonzero()[0])


def add_basket(context: Array, times: Array, spec: FeatureSpec) -> Array:
    """Contexts (N,) after a purchase at `times` (N,), each later than all purchases before. In-place on `context`.

    A purchase within the session gap of the one before belongs to the same basket.
    """
    latest, baskets = context["purchase_time"], context["baskets"]
    known = latest > 0
    gap = (times - latest) * known / _DAY_MS
    opened = ~known | (gap > spec.session_gap_s / _DAY_S)
    baskets[:] = baskets * np.exp2(gap[:, None] / _FADING) + opened[:, None]
    np.copyto(context["purchase_gap"], gap, where=opened, casting="same_kind")
    latest[:] = times
    return context


def _baskets_within(
    buys: Array, times: Array, segment: Array, before: Array, context: Array, spec: FeatureSpec
) -> None:
    """Moves on what `context` says of baskets, which is what `before` says, with the purchases in rows `buys`. Fading has
    to go basket by basket: in rounds over the shoppers, so that it is the same to the last bit wherever a batch is cut."""
    _, heads, group = _segments(segment[buys])
    start = before["purchase_time"][segment[buys[heads]]]
    moving = times[buys] > _running_latest(times[buys], heads, group, start, start > 0)
    buys = buys[moving]
    if not len(buys):
        return
    whose = segment[buys]
    first, heads, _ = _segments(whose)
    count, states = np.diff(heads, append=len(buys)), np.empty(len(buys), CONTEXT)
    for step in range(int(count.max())):
        rows = heads[count > step] + step
        state = states.take(rows - 1) if step else before.take(whose[rows])
        states.put(rows, add_basket(state, times[buys[rows]], spec))
    # The state after a purchase is what the events after it see, up to the shopper's next or last.
    reach = segment.searchsorted(whose, side="right") - 1
    np.copyto(reach[:-1], buys[1:], where=~first[1:])
    seen = reach - buys
    rows = np.arange(int(seen.sum())) + (buys + 1 - (seen.cumsum() - seen)).repeat(seen)
    context.view(_HALVES)["buying"][rows] = states.view(_HALVES)["buying"].repeat(seen)


def _running_latest(times: Array, heads: Array, group: Array, start: Array, known: Array) -> Array:
    """Largest of `start` (G,), where it is known, and of the earlier times of the same group, for each of `times` (N,);
    0 = none. heads: row of each group's first time (G,), group: the group of each row (N,)."""
    latest = np.empty(len(times), np.int64)
    latest[1:] = times[:-1]
    latest[heads] = np.where(known, start, 0)
    if (times >= latest).all():  # in order of time, as nearly always
        return latest
    low = min(int(times.min()), int(start[known].min(initial=times.min()))) - 1
    high = max(int(times.max()), int(start[known].max(initial=times.max())))
    span = high - low + 1  # 0 stands for "nothing yet", so that a group starts below every time of its own
    if span * len(heads) >= 1 << 62:
        raise ValueError(f"events span {span} ms over {len(heads)} shoppers: pass fewer shoppers at a time")
    lift = group * span
    latest -= low
    latest[heads] = np.where(known, start - low, 0)
    latest += lift
    np.maximum.accumulate(latest, out=latest)  # a group's values lie above those of the groups before
    latest -= lift
    return np.where(latest > 0, latest + low, 0)


def _segments(shopper: Array) -> tuple[Array, Array, Array]:
    """Whether a row is its shopper's first (N,), where those are (G,), and the number of the group of each row (N,)."""
    first = np.ones(len(shopper), bool)
    np.not_equal(shopper[1:], shopper[:-1], out=first[1:])
    return first, first.nonzero()[0], first.cumsum() - 1


def opens_session(times: Array, latest: Array, count: Array, spec: FeatureSpec) -> Array:
    """Whether each event (N,) begins a session, after `count` events of which the latest was at `latest`."""
    return cast(Array, (count == 0) | (times - latest > int(spec.session_gap_s * 1000)))
