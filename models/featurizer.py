"""The one featurizer: packed events and what is known of each shopper's past -> the model's inputs.

Used by the live path, by replay and by evaluation alike. What an event's features need of the past is a
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
    context = np.zeros(len(events), CONTEXT)
    if not len(events):
        return context
    heads, segment = _segments(shopper)
    before = start[shopper[heads]]
    place = np.arange(len(events)) - heads[segment]
    count = before["events"][segment] + place
    latest = _latest_before(events["time"], heads, segment, before)
    opened = _opens_session(events["time"], latest, count, spec).astype(np.int64)
    running = np.cumsum(opened) - opened
    context["previous_time"] = latest
    context["first_time"] = np.where(before["events"] == 0, events["time"][heads], before["first_time"])[
        segment
    ]
    context["first_time"][count == 0] = 0
    context["events"] = count
    context["sessions"] = before["sessions"][segment] + (running - running[heads][segment])
    _baskets_within(events, heads, segment, before, context, spec)
    return context


def advance(shopper: Array, events: Array, context: Array, start: Array, spec: FeatureSpec) -> Array:
    """Each shopper's context after the batch: CONTEXT (S,), a copy of `start` with the shoppers of the batch
    moved on.

    Arguments as for `context_within`; context: what that returned for them.
    """
    after = start.copy()
    if not len(events):
        return after
    heads, _ = _segments(shopper)
    tails = np.append(heads[1:], len(events)) - 1
    after[shopper[heads]] = step_context(events[tails], context[tails], spec)
    return after


def step_context(events: Array, context: Array, spec: FeatureSpec) -> Array:
    """The contexts right after each event (N,), from the contexts right before them."""
    after = context.copy()
    known = context["events"] > 0
    opened = _opens_session(events["time"], context["previous_time"], context["events"], spec)
    after["previous_time"] = np.where(
        known, np.maximum(context["previous_time"], events["time"]), events["time"]
    )
    after["first_time"] = np.where(known, context["first_time"], events["time"])
    after["events"] += 1
    after["sessions"] += opened
    rows = np.flatnonzero((events["type"] == _PURCHASE) & (events["time"] > context["purchase_time"]))
    if len(rows):
        after[rows] = _add_basket(after[rows], events["time"][rows], spec)
    return after


def featurize(events: Array, context: Array, spec: FeatureSpec) -> Features:
    """Model inputs of events EVENT (N,) given the contexts CONTEXT (N,) right before them. See `Features`."""
    ids = np.empty((len(events), len(ID_COLUMNS)), np.int32)
    ids[:, 0] = bucket(events["item"], spec.item_buckets)
    ids[:, 1] = bucket(events["category"], spec.category_buckets)
    ids[:, 2] = events["type"]
    ids[:, 3] = events["device"]
    dense = np.empty((len(events), len(DENSE)), np.float32)
    _money(events, dense[:, 0:3])
    _past(events["time"], context, spec, dense[:, 3:10])
    _clock(events["time"], dense[:, 10:14])
    _buying(events, context, spec, dense[:, 14:20])
    return Features(ids, dense)


def _add_basket(context: Array, times: Array, spec: FeatureSpec) -> Array:
    """Contexts (N,) after a purchase at `times` (N,), each later than all purchases before. In-place on `context`.

    A purchase within the session gap of the one before belongs to the same basket.
    """
    known = context["purchase_time"] > 0
    gap = np.where(known, times - context["purchase_time"], 0) / _DAY_MS
    opened = ~known | (gap > spec.session_gap_s / _DAY_S)
    context["baskets"] = _faded(context["baskets"], gap) + opened[:, None]
    context["purchase_gap"] = np.where(opened, gap, context["purchase_gap"])
    context["purchase_time"] = times
    return context


def _faded(baskets: Array, days: Array) -> Array:
    return cast(Array, baskets * np.exp2(-np.asarray(days)[:, None] / np.array(FADING_DAYS)))


def _baskets_within(
    events: Array, heads: Array, segment: Array, before: Array, context: Array, spec: FeatureSpec
) -> None:
    """Fills in what the baskets so far were, before each event. Fading has to go basket by basket: in rounds over the
    shoppers, so that it is the same to the last bit wherever a batch is cut."""
    names = ["purchase_time", "purchase_gap", "baskets"]
    for name in names:
        context[name] = before[name][segment]
    buys = np.flatnonzero(events["type"] == _PURCHASE)
    if not len(buys):
        return
    # Only purchases that move the clock on change anything.
    whose = segment[buys]
    first = np.flatnonzero(np.r_[True, whose[1:] != whose[:-1]])
    start = np.where(before["purchase_time"] > 0, before["purchase_time"], 0)[whose[first]]
    latest = _running_latest(
        events["time"][buys], first, np.cumsum(np.r_[True, whose[1:] != whose[:-1]]) - 1, start
    )
    buys = buys[events["time"][buys] > latest]
    if not len(buys):
        return
    whose = segment[buys]
    fresh = np.r_[True, whose[1:] != whose[:-1]]
    first = np.flatnonzero(fresh)
    count = np.diff(np.append(first, len(buys)))
    state = before[whose[first]].copy()
    states = np.empty(len(buys), CONTEXT)
    order = np.argsort(-count, kind="stable")
    for step in range(int(count.max())):
        there = order[: int(np.searchsorted(-count[order], -step, side="left"))]
        rows = first[there] + step
        state[there] = _add_basket(state[there], events["time"][buys[rows]], spec)
        states[rows] = state[there]
    # Each event sees the state after the latest such purchase before it within its shopper's group.
    seen = np.searchsorted(buys, np.arange(len(events)), side="left") - 1
    own = (seen >= 0) & (whose[np.maximum(seen, 0)] == segment)
    for name in names:
        context[name][own] = states[name][seen[own]]


def _running_latest(times: Array, heads: Array, group: Array, start: Array) -> Array:
    """Largest of `start` (G,) and of the earlier times of the same group, for each of `times` (N,); 0 = none."""
    low = min(int(times.min()), int(start[start > 0].min(initial=times.min()))) - 1
    span = max(int(times.max()), int(start.max(initial=0))) - low + 1
    seen = np.empty(len(times), np.int64)
    seen[1:] = times[:-1] - low
    seen[heads] = np.where(start > 0, start - low, 0)
    lift = group * span
    latest = np.maximum.accumulate(seen + lift) - lift
    return np.where(latest > 0, latest + low, 0)


def _segments(shopper: Array) -> tuple[Array, Array]:
    """Row of each shopper's first event (G,), and the number of the group each row belongs to (N,)."""
    first = np.empty(len(shopper), bool)
    first[0] = True
    np.not_equal(shopper[1:], shopper[:-1], out=first[1:])
    return np.flatnonzero(first), np.cumsum(first) - 1


def _latest_before(times: Array, heads: Array, segment: Array, before: Array) -> Array:
    """Latest time seen before each event, 0 where there was none: a running maximum that starts anew at each
    shopper."""
    known = before["events"] > 0
    low = int(np.where(known, before["previous_time"], times.min()).min())
    low = min(low, int(times.min()))
    high = max(int(times.max()), int(before["previous_time"].max()))
    span = high - low + 2  # 0 stands for "nothing yet", so that a group starts below every time of its own
    if span * len(heads) >= 1 << 62:
        raise ValueError(f"events span {span} ms over {len(heads)} shoppers: pass fewer shoppers at a time")
    lift = segment * span
    seen = np.empty(len(times), np.int64)
    seen[1:] = times[:-1] - (low - 1)
    seen[heads] = np.where(known, before["previous_time"] - (low - 1), 0)
    # A shopper's earlier events and the start value take turns: at a head only the start value counts.
    latest = np.maximum.accumulate(seen + lift) - lift
    return np.where(latest > 0, latest + (low - 1), 0)


def _opens_session(times: Array, latest: Array, count: Array, spec: FeatureSpec) -> Array:
    return cast(Array, (count == 0) | (times - latest > int(spec.session_gap_s * 1000)))


def bucket(hashes: Array, buckets: int) -> Array:
    """Embedding row of each hash: 0 = none, else 1 … buckets-1."""
    return np.where(hashes == 0, 0, 1 + hashes % np.uint32(buckets - 1))


def _log(values: Array, scale: float) -> Array:
    return cast(Array, np.log1p(values) / scale)


def _money(events: Array, out: Array) -> None:
    price = events["price"].astype(np.float64)
    known = np.isfinite(price)
    out[:, 0] = _log(np.clip(np.where(known, price, 0.0), 0.0, 1e8), 5.0)
    out[:, 1] = known
    quantity = np.nan_to_num(events["quantity"].astype(np.float64), nan=0.0, posinf=65504.0, neginf=0.0)
    out[:, 2] = _log(np.clip(quantity, 0.0, 65504.0), 3.0)


def _past(times: Array, context: Array, spec: FeatureSpec, out: Array) -> None:
    """Recency, frequency and tenure. Times that run backwards (late events) count as no time passed."""
    count, sessions = context["events"], context["sessions"].astype(np.float64)
    known = count > 0
    since = np.where(known, np.maximum(times - context["previous_time"], 0), 0) / 1000.0
    tenure_days = np.where(known, np.maximum(times - context["first_time"], 0), 0) / 1000.0 / _DAY_S
    out[:, 0] = _log(np.minimum(since, 1e9), 8.0)
    out[:, 1] = ~known
    out[:, 2] = _opens_session(times, context["previous_time"], count, spec)
    out[:, 3] = _log(count.astype(np.float64), 8.0)
    out[:, 4] = _log(sessions, 5.0)
    out[:, 5] = _log(np.minimum(tenure_days, 1e5), 5.0)
    # Mean days from session to session, the rate at which this shopper comes; 0 until there is a second
    # session.
    out[:, 6] = _log(np.minimum(tenure_days / np.maximum(sessions - 1.0, 1.0), 1e5), 4.0)


def _buying(events: Array, context: Array, spec: FeatureSpec, out: Array) -> None:
    """Recency and frequency of purchases, this event's own counted in."""
    after = context[["purchase_time", "purchase_gap", "baskets"]].copy()
    rows = np.flatnonzero((events["type"] == _PURCHASE) & (events["time"] > context["purchase_time"]))
    if len(rows):
        moved = _add_basket(context[rows], events["time"][rows], spec)
        for name in ("purchase_time", "purchase_gap", "baskets"):
            after[name][rows] = moved[name]
    known = after["purchase_time"] > 0
    days = np.where(known, np.maximum(events["time"] - after["purchase_time"], 0), 0) / _DAY_MS
    out[:, 0] = known
    out[:, 1] = _log(np.minimum(days, 1e4) * 24.0, 6.0)
    out[:, 2] = _log(np.minimum(after["purchase_gap"], 1e4) * 24.0, 6.0)
    out[:, 3:6] = _log(_faded(after["baskets"], days), 1.0) / (2.0, 3.0, 4.0)


def _cycle(steps: int) -> Array:
    angle = 2 * np.pi * np.arange(steps) / steps
    return np.stack([np.sin(angle), np.cos(angle)], axis=1).astype(np.float32)


_HOURS = _cycle(1440)  # by minute of the day, UTC
_WEEKDAYS = _cycle(7)  # Monday first


def _clock(times: Array, out: Array) -> None:
    minutes = times // 60_000
    out[:, 0:2] = _HOURS[minutes % 1440]
    out[:, 2:4] = _WEEKDAYS[(minutes // 1440 + 3) % 7]  # 1970-01-01 was a Thursday
