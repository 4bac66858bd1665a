"""Which decoded events can be used: one check for the live path, the replay job and the backfill.

Times are judged against the record timestamp, never the wall clock, so that a redo or a replay judges as live did.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from models.events import layout, numbers

Array = npt.NDArray[Any]
MAX_ID = 256  # characters


@dataclass(frozen=True)
class Bounds:
    """How far an event's time may lie before (days) and after (seconds) its record timestamp."""

    max_age_days: float
    max_ahead_s: float


def unusable(batch: pa.RecordBatch, timestamps: Array, bounds: Bounds) -> dict[int, tuple[str, str]]:
    """(reason, message) by row for rows of the BehaviorEvent schema that cannot be used.

    timestamps i8 (N,): record timestamps, ms. Reasons: missing_user, bad_id, absurd_time, bad_number.
    """
    faults: dict[int, tuple[str, str]] = {}
    _check_text(batch, "user_id", "missing_user", faults)
    _check_text(batch, "event_id", "bad_id", faults)
    _check_time(batch, timestamps, bounds, faults)
    for name in ("price", "quantity"):
        _check_number(batch, name, faults)
    return faults


def _check_text(batch: pa.RecordBatch, name: str, reason: str, faults: dict[int, tuple[str, str]]) -> None:
    column = batch.column(name)
    if _all_plain(column):
        return
    control = pc.match_substring_regex(column, r"[\x00-\x1f]")
    lengths = pc.utf8_length(column).to_numpy(zero_copy_only=False)
    odd = control.to_numpy(zero_copy_only=False)
    for row in np.flatnonzero((lengths == 0) | (lengths > MAX_ID) | odd).tolist():
        shown = repr(column[row].as_py()[:40])
        faults.setdefault(
            row, (reason, f"{name} is {shown}: send 1 to {MAX_ID} characters, none of them a control")
        )


def _all_plain(column: pa.Array) -> bool:
    """Whether every text has 1 to MAX_ID bytes, so no more characters, and none of all bytes is a control."""
    if len(column) == 0:
        return True
    if column.null_count or not pa.types.is_string(column.type):
        return False
    bounds, data = layout(column)
    lengths = np.diff(bounds)
    first, last = bounds[[0, -1]].tolist()
    return bool(lengths.min() > 0 and lengths.max() <= MAX_ID and data[first:last].min() >= ord(" "))


def _check_time(
    batch: pa.RecordBatch, timestamps: Array, bounds: Bounds, faults: dict[int, tuple[str, str]]
) -> None:
    times = batch.column("event_time").to_numpy(zero_copy_only=False).astype(np.int64, copy=False)
    oldest, newest = (
        timestamps - int(bounds.max_age_days * 86_400_000),
        timestamps + int(bounds.max_ahead_s * 1000),
    )
    good = (times >= oldest) & (times <= newest) & (times > 0)
    if good.all():
        return
    for row in np.flatnonzero(~good).tolist():
        ahead = times[row] > newest[row]
        setting = "INTENTFLOW_EVENT_MAX_AHEAD_S" if ahead else "INTENTFLOW_EVENT_MAX_AGE_DAYS"
        message = (
            f"event_time is {int(times[row])} ms, its record was written at {int(timestamps[row])} ms: too "
            f"{'far ahead' if ahead else 'old'} (limit {setting}); send milliseconds since 1970-01-01 UTC"
        )
        faults.setdefault(row, ("absurd_time", message))


def _check_number(batch: pa.RecordBatch, name: str, faults: dict[int, tuple[str, str]]) -> None:
    column = batch.column(name)
    values = numbers(column)
    good = (values >= 0) & (values < np.inf)
    if np.count_nonzero(good) == len(column) - column.null_count:
        return
    present = column.is_valid().to_numpy(zero_copy_only=False)
    for row in np.flatnonzero(present & ~good).tolist():
        message = f"{name} is {values[row]}: send a finite number, not negative, or leave it out"
        faults.setdefault(row, ("bad_number", message))
