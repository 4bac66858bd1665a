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
    length = pc.utf8_length(column)
    low, high = pc.min_max(length).values() if len(column) else (pa.scalar(1), pa.scalar(1))
    control = pc.match_substring_regex(column, r"[\x00-\x1f]")
    if low.as_py() and high.as_py() <= MAX_ID and not pc.any(control).as_py():
        return
    lengths, odd = length.to_numpy(zero_copy_only=False), control.to_numpy(zero_copy_only=False)
    for row in np.flatnonzero((lengths == 0) | (lengths > MAX_ID) | odd).tolist():
        shown = repr(column[row].as_py()[:40])
        faults.setdefault(
            row, (reason, f"{name} is {shown}: send 1 to {MAX_ID} characters, none of them a control")
        )


def _check_time(
    batch: pa.RecordBatch, timestamps: Array, bounds: Bounds, faults: dict[int, tuple[str, str]]
) -> None:
    times = batch.column("event_time").cast(pa.int64()).to_numpy(zero_copy_only=False)
    oldest, newest = (
        timestamps - int(bounds.max_age_days * 86_400_000),
        timestamps + int(bounds.max_ahead_s * 1000),
    )
    bad = (times < oldest) | (times > newest) | (times <= 0)
    for row in np.flatnonzero(bad).tolist():
        ahead = times[row] > newest[row]
        setting = "INTENTFLOW_EVENT_MAX_AHEAD_S" if ahead else "INTENTFLOW_EVENT_MAX_AGE_DAYS"
        message = (
            f"event_time is {int(times[row])} ms, its record was written at {int(timestamps[row])} ms: too "
            f"{'far ahead' if ahead else 'old'} (limit {setting}); send milliseconds since 1970-01-01 UTC"
        )
        faults.setdefault(row, ("absurd_time", message))


def _check_number(batch: pa.RecordBatch, name: str, faults: dict[int, tuple[str, str]]) -> None:
    column = batch.column(name)
    if column.null_count == len(column):
        return
    values = column.to_numpy(zero_copy_only=False)
    present = column.is_valid().to_numpy(zero_copy_only=False)
    with np.errstate(invalid="ignore"):
        bad = present & ~(np.isfinite(values) & (values >= 0))
    for row in np.flatnonzero(bad).tolist():
        message = f"{name} is {values[row]}: send a finite number, not negative, or leave it out"
        faults.setdefault(row, ("bad_number", message))
