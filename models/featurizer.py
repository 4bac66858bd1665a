"""The one featurizer: packed events and what is known of each shopper's past -> the model's inputs.

Used by the live path, by replay and by evaluation alike. Structured rows are moved with take, compress, put and repeat,
which copy bytes; indexing and copy() go field by field, ten times slower. What an event's features need of the past is a
`CONTEXT` of 48 bytes, carried from event to event in the order of the log, so that a stream cut into batches
anywhere gives the same features, bit for bit, as one pass over the whole.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from models.events import DEVICES, EVENT_TYPES

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

DENSE: tuple[str, ...] = (
    "log_price",
    "price_known",
    "log_quantity",
    "log_since_previous",
    "first_event",
    "new_session",
    "log_events",
    "log_sessions",
    "log_tenure",
    "log_session_interval",
    "hour_sin",
    "hour_cos",
    "weekday_sin",
    "weekday_cos",
    "purchased",
    "log_since_purchase",
    "log_purchase_gap",
    "log_baskets_week",
    "log_baskets_month",
    "log_baskets_quarter",
)
ID_COLUMNS: tuple[str, ...] = ("item", "category", "type", "device")

FADING_DAYS = (7.0, 30.0, 90.0)

_HALVES = np.dtype([("visits", "V24"), ("buying", "V24")])  # of CONTEXT
# Columns in the order they are computed. First the logarithms: the most that counts, and what the logarithm is divided by.
_LOGS: dict[str, tuple[float, float]] = {
    "log_price": (1e8, 5.0),
    "log_quantity": (65504.0, 3.0),
    "log_purchase_gap": (24e4, 6.0),  # hours, as the next
    "log_since_purchase": (24e4, 6.0),
    "log_since_previous": (1e9, 8.0),  # seconds
    "log_tenure": (1e5, 5.0),  # days, as the next
    "log_session_interval": (1e5, 4.0),
    "log_events": (np.inf, 8.0),
    "log_sessions": (np.inf, 5.0),
    "log_baskets_week": (np.inf, 2.0),
    "log_baskets_month": (np.inf, 3.0),
    "log_baskets_quarter": (np.inf, 4.0),
}
_COMPUTED = (*_LOGS, *(name for name in DENSE if name not in _LOGS))
_PLACES = np.array([_COMPUTED.index(name) for name in DENSE])
_MOST = np.array([most for most, _ in _LOGS.values()], np.float32)[:, None]
_SCALES = np.array([_LOGS.get(name, (0.0, 1.0))[1] for name in DENSE], np.float32)
_UNITS = np.array([3_600_000, 1000, 86_400_000], np.float32)[:, None]  # ms of an hour, a second, a day
_FADING = -np.array(FADING_DAYS)
_FADING_HOURS = (24.0 * _FADING).astype(np.float32)[:, None]

_DAY_S = 86_400.0
_DAY_MS = 86_400_000
_PURCHASE = EVENT_TYPES.index("purchase")
_FORMULA = 2  # raise when what a dense column means changes, so that older releases are refused


class Features(NamedTuple):
    """ids int32 (N, 4): item bucket, category bucket, type, device. dense float32 (N, len(DENSE)), finite,
    in [-1, 5]."""

    ids: npt.NDArray[np.int32]
    dense: npt.NDArray[np.float32]


@dataclass(frozen=True)
class FeatureSpec:
    """What a model was trained to read. A release carries it; its fingerprint must equal the one of the
    running code."""

    version: int = _FORMULA  # formula of the dense columns
    item_buckets: int = 4096  # bucket 0 = no item
    category_buckets: int = (
        4096  # bucket 0 = no category; few collisions, for the memory tells categories by it
    )
    session_gap_s: float = 1800.0  # a longer silence begins a new session

    def fingerprint(self) -> str:
        """16 hex digits over the spec and everything in the code that gives an input its meaning."""
        meaning = {
            **asdict(self),
            "formula": _FORMULA,  # beside `version`: an old release keeps its own, and must not pass for ours
            "dense": DENSE,
            "fading": FADING_DAYS,
            "ids": ID_COLUMNS,
            "types": EVENT_TYPES,
            "devices": DEVICES,
        }
        return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def dense_size(self) -> int:
        return len(DENSE)

    def vocabulary(self) -> tuple[int, int, int, int]:
        """Number of values of each id column, in the order of ID_COLUMNS."""
        return self.item_buckets, self.category_buckets, len(EVENT_TYPES), len(DEVICES)


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
    opened = _opens_session(times, latest, context["events"], spec)
    running = opened.cumsum(dtype=np.uint32)
    running -= opened
    context["sessions"] += running - running[heads][segment]
    if not known.all():
        context["first_time"] = np.where(known, before["first_time"], times[heads])[segment]
        context["first_time"][heads[~known]] = 0
    seen = ((events["type"][:-1] == _PURCHASE) & ~first[1:]).nonzero()[
        0
    ]  # purchases with an event after them
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
    rows = _moving(events["type"], times, context)
    if len(rows):
        context.put(rows, _add_basket(context.take(rows), times[rows], spec))
    context["sessions"] += _opens_session(times, previous, count, spec)
    new = count == 0
    np.maximum(previous, times, out=previous)
    if new.any():
        previous[new] = context["first_time"][new] = times[new]
    count += np.uint32(1)


def featurize(events: Array, context: Array, spec: FeatureSpec) -> Features:
    """Model inputs of events EVENT (N,) given the contexts CONTEXT (N,) right before them. See `Features`."""
    ids = np.empty((len(events), len(ID_COLUMNS)), np.int32)
    ids[:, 0] = bucket(events["item"], spec.item_buckets)
    ids[:, 1] = bucket(events["category"], spec.category_buckets)
    ids[:, 2] = events["type"]
    ids[:, 3] = events["device"]
    times = events["time"].copy()
    columns = np.empty((len(DENSE), len(events)), np.float32)  # in the order of _COMPUTED
    logs, flags, clock, purchased = columns[:12], columns[12:15], columns[15:19], columns[19]
    _money(events, logs[0:2], flags[0])
    latest = _bought(events["type"], times, context, spec, logs[2], logs[9:12])
    _past(times, latest, context, logs)
    count = context["events"]
    flags[1] = count == 0
    flags[2] = _opens_session(times, context["previous_time"], count, spec)
    _clock(times, clock)
    purchased[:] = latest > 0
    np.fmax(logs, 0.0, out=logs)  # a quantity that is none counts as 0
    np.fmin(logs, _MOST, out=logs)
    np.log1p(logs, out=logs)
    dense = np.empty((len(events), len(DENSE)), np.float32)
    np.divide(columns.take(_PLACES, axis=0).T, _SCALES, out=dense)
    return Features(ids, dense)


def _moving(types: Array, times: Array, context: Array) -> Array:
    """Rows of the purchases later than all before: only they change what is known of baskets."""
    return cast(Array, ((types == _PURCHASE) & (times > context["purchase_time"])).nonzero()[0])


def _add_basket(context: Array, times: Array, spec: FeatureSpec) -> Array:
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
        states.put(rows, _add_basket(state, times[buys[rows]], spec))
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


def _opens_session(times: Array, latest: Array, count: Array, spec: FeatureSpec) -> Array:
    return cast(Array, (count == 0) | (times - latest > int(spec.session_gap_s * 1000)))


def bucket(hashes: Array, buckets: int) -> Array:
    """Embedding row of each hash: 0 = none, else 1 … buckets-1."""
    rows = hashes % np.uint32(buckets - 1)
    rows += np.uint32(1)
    rows *= hashes != 0
    return cast(Array, rows)


def _money(events: Array, out: Array, known: Array) -> None:
    """Price and quantity, which may be NaN, into out (2, N)."""
    finite = np.isfinite(events["price"])
    known[:], out[0], out[1] = finite, 0.0, events["quantity"]
    np.copyto(out[0], events["price"], where=finite)


def _bought(
    types: Array, times: Array, context: Array, spec: FeatureSpec, gap: Array, baskets: Array
) -> Array:
    """Gap in hours (N,) and baskets (3, N) as of the latest purchase, this event's own counted in, into gap and baskets;
    returns its time (N,), 0 = none."""
    latest = context["purchase_time"].copy()
    gap[:], baskets[:] = context["purchase_gap"], context["baskets"].T
    rows = _moving(types, times, context)
    if len(rows):
        moved = _add_basket(context.take(rows), times[rows], spec)
        latest[rows], gap[rows] = moved["purchase_time"], moved["purchase_gap"]
        baskets[:, rows] = moved["baskets"].T
    gap *= 24.0
    return latest


def _past(times: Array, latest: Array, context: Array, logs: Array) -> None:
    """Recency, frequency and tenure. Times that run backwards (late events) count as no time passed."""
    passed = np.empty((3, len(times)), np.int64)
    passed[0], passed[1], passed[2] = latest, context["previous_time"], context["first_time"]
    known = passed > 0
    np.subtract(times, passed, out=passed)
    np.maximum(passed, 0, out=passed)
    passed *= known
    np.divide(passed, _UNITS, out=logs[3:6], casting="same_kind")
    logs[7], logs[8] = context["events"], context["sessions"]
    # Mean days from session to session, the rate at which this shopper comes; 0 until there is a second
    # session.
    np.subtract(logs[8], 1.0, out=logs[6])
    np.maximum(logs[6], 1.0, out=logs[6])
    np.divide(logs[5], logs[6], out=logs[6])
    logs[9:12] *= np.exp2(logs[3] / _FADING_HOURS)


def _cycle(steps: int) -> Array:
    angle = 2 * np.pi * np.arange(steps) / steps
    return np.stack([np.sin(angle), np.cos(angle)]).astype(np.float32)


_DAY_MINUTES, _WEEK_MINUTES = 1440, 10_080
# Sine and cosine of the hour and of the weekday (4, minutes of a week), UTC, Monday first.
_WEEK = np.concatenate([np.tile(_cycle(_DAY_MINUTES), 7), np.repeat(_cycle(7), _DAY_MINUTES, axis=1)])


def _clock(times: Array, out: Array) -> None:
    minutes = times // 60_000 + 3 * _DAY_MINUTES  # 1970-01-01 was a Thursday
    minutes -= minutes // _WEEK_MINUTES * _WEEK_MINUTES  # numpy's % is slower by far
    np.take(_WEEK, minutes, axis=1, out=out, mode="clip")
