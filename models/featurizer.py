"""The one featurizer: packed events and what is known of each shopper's past -> the model's inputs.

Used by the live path, by replay and by evaluation alike. What an event's features need of the past is its context,
see models/context.py.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from models.context import FADING_DAYS, add_basket, moving, opens_session
from models.events import DEVICES, EVENT_TYPES

Array = npt.NDArray[Any]

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

# Columns in the order they are computed. First the logarithms: the most that counts, and what the logarithm is divided by.
LOGS: dict[str, tuple[float, float]] = {
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
_COMPUTED = (*LOGS, *(name for name in DENSE if name not in LOGS))
_PLACES = np.array([_COMPUTED.index(name) for name in DENSE])
_MOST = np.array([most for most, _ in LOGS.values()], np.float32)[:, None]
_SCALES = np.array([LOGS.get(name, (0.0, 1.0))[1] for name in DENSE], np.float32)
_UNITS = np.array([3_600_000, 1000, 86_400_000], np.float32)[:, None]  # ms of an hour, a second, a day
_FADING_HOURS = (-24.0 * np.array(FADING_DAYS)).astype(np.float32)[:, None]

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
    flags[2] = opens_session(times, context["previous_time"], count, spec)
    _clock(times, clock)
    purchased[:] = latest > 0
    np.fmax(logs, 0.0, out=logs)  # a quantity that is none counts as 0
    np.fmin(logs, _MOST, out=logs)
    np.log1p(logs, out=logs)
    dense = np.empty((len(events), len(DENSE)), np.float32)
    np.divide(columns.take(_PLACES, axis=0).T, _SCALES, out=dense)
    return Features(ids, dense)


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
    rows = moving(types, times, context)
    if len(rows):
        moved = add_basket(context.take(rows), times[rows], spec)
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
