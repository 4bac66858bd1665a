"""Where replay reads from: the Parquet archive or retained topics, as batches of usable events in the order of the log.

archive files ─┐
               ├─► Batch (columns of BehaviorEvent + partition, offset, timestamp) ─► usable only, the rest counted
retained topics┘
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.usable import Bounds, unusable
from schemas.settings import Settings

Array = npt.NDArray[Any]


class SourceProblem(Exception):
    """Events that cannot be read; the message names what, where, and what to do."""


class Batch(NamedTuple):
    """events: N rows of the BehaviorEvent schema. partition int32, offset int64, timestamp int64 ms (record), each (N,)."""

    events: pa.RecordBatch
    partition: Array
    offset: Array
    timestamp: Array

    def take(self, rows: Array) -> "Batch":
        return Batch(
            self.events.take(pa.array(rows)), self.partition[rows], self.offset[rows], self.timestamp[rows]
        )


@dataclass(frozen=True)
class Interval:
    """Event times in [start, stop), ms since 1970 UTC."""

    start: int
    stop: int

    def __post_init__(self) -> None:
        if self.stop <= self.start:
            raise SourceProblem(f"interval {self}: its end is not after its start; set --from before --to")

    @classmethod
    def between(cls, start: str, stop: str) -> Self:
        """From two ISO times or dates; without a zone they are UTC."""
        return cls(moment(start), moment(stop))

    def __str__(self) -> str:
        return f"{iso(self.start)} … {iso(self.stop)}"

    def holds(self, times: Array) -> npt.NDArray[np.bool_]:
        return np.asarray((times >= self.start) & (times < self.stop))


def moment(text: str) -> int:
    """ISO time or date -> ms since 1970 UTC; SourceProblem names what is wrong."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise SourceProblem(f"time {text!r}: want an ISO time or date such as 2017-08-01T00:00:00Z") from None
    return round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)


def iso(time: int) -> str:
    return datetime.fromtimestamp(time / 1000, UTC).isoformat(timespec="seconds")


def bounds(settings: Settings) -> Bounds:
    """How far an event's time may lie from its record's, as for the live path."""
    return Bounds(settings.event_max_age_days, settings.event_max_ahead_s)


def usable(
    batches: Iterator[Batch], limits: Bounds, interval: Interval, dropped: Counter[str]
) -> Iterator[Batch]:
    """Batches without what the live path would dead-letter, and without what lies outside the interval.

    dropped: counts by reason, for rows within the interval or without a sensible time.
    """
    for batch in batches:
        good, reasons = judged(batch, limits, interval)
        dropped.update(reasons.values())
        if good.all():
            yield batch
        elif good.any():
            yield batch.take(np.flatnonzero(good))


def judged(batch: Batch, limits: Bounds, interval: Interval) -> tuple[npt.NDArray[np.bool_], dict[int, str]]:
    """Whether each row (N,) is used; and why not, by row, for those that the live path would dead-letter."""
    reasons = {row: reason for row, (reason, _) in unusable(batch.events, batch.timestamp, limits).items()}
    good = interval.holds(_times(batch.events))
    good[list(reasons)] = False
    return good, reasons


def _times(events: pa.RecordBatch) -> Array:
    return np.asarray(events.column("event_time").cast(pa.int64()).to_numpy(zero_copy_only=False))
