"""What a loader is: a source's rows in event-time order, shaped into behaviour events batch by batch.

A loader reads its source once into compact columns (numbers, not texts: 1.5 million rows in about 100 MB), cuts them
by time and shoppers, and makes ids, texts and maps only for the batch at hand.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas import avro, columns
from streams.loaders.columns import in_share

BATCH_ROWS = 16_384
DATA = "INTENTFLOW_DATA"  # environment variable: the folder that holds the data sets, one sub-folder each
SCHEMA: pa.Schema = columns.arrow_schema(avro.parse(avro.current("behavior_event")))


class DataMissing(FileNotFoundError):
    """The source of a loader is not on this machine; the message says how to get it."""


class Loader(ABC):
    """One source of behaviour events. Subclasses give `name`, `read` and `shape`; callers use `events` and `count`."""

    name: ClassVar[str]

    def events(
        self,
        start: datetime | None = None,
        end: datetime | None = None,
        share: float | None = None,
        batch_rows: int = BATCH_ROWS,
    ) -> Iterator[pa.RecordBatch]:
        """Batches of schemas/behavior_event.avsc in event-time order, ids the same at every run.

        start, end: event time from (inclusive) and to (exclusive), with a time zone. share: the fraction of
        shoppers to keep, chosen by a hash of the user id. Raises DataMissing without the source, ValueError for
        a time without a zone or a share outside (0, 1].
        """
        rows = self.read()
        chosen = _chosen(rows, start, end, share)
        for first in range(0, len(chosen), batch_rows):
            yield self.shape(rows.take(pa.array(chosen[first : first + batch_rows]))).cast(SCHEMA)

    def count(
        self, start: datetime | None = None, end: datetime | None = None, share: float | None = None
    ) -> int:
        """Number of events that `events` would yield."""
        return len(_chosen(self.read(), start, end, share))

    @abstractmethod
    def read(self) -> pa.Table:
        """All rows: `time` (int64, ms since 1970 UTC), `user` (int64) and what `shape` needs.

        Rows of one moment come in the order in which they happened; otherwise any order will do.
        """

    @abstractmethod
    def shape(self, rows: pa.Table) -> pa.RecordBatch:
        """Some of `read`'s rows as behaviour events, one each, in their order; columns of SCHEMA in any order."""


def _chosen(
    rows: pa.Table, start: datetime | None, end: datetime | None, share: float | None
) -> npt.NDArray[np.int64]:
    """Positions of the rows wanted, by rising time; rows of one moment stay in the order that they have."""
    times = rows["time"].to_numpy()
    order = np.argsort(times, kind="stable")
    first = 0 if start is None else np.searchsorted(times, milliseconds(start), sorter=order)
    last = len(times) if end is None else np.searchsorted(times, milliseconds(end), sorter=order)
    order = order[first:last]
    return order if share is None else order[in_share(rows["user"].to_numpy()[order], share)]


def milliseconds(moment: datetime) -> int:
    """Milliseconds since 1970 UTC. Raises ValueError for a time without a zone."""
    if moment.tzinfo is None:
        raise ValueError(f"the time {moment.isoformat()} has no time zone; add one, for instance Z for UTC")
    return round(moment.astimezone(UTC).timestamp() * 1000)


def file(name: str, folder: str) -> Path:
    """Path of a data file in the folder of INTENTFLOW_DATA, else in ../shared/data. Raises DataMissing."""
    root = Path(os.environ.get(DATA) or "../shared/data")
    path = root / folder / name
    if not path.is_file():
        raise DataMissing(
            f"{path} is not there: set {DATA} to the folder that holds {folder}/{name}, or load completejourney"
        )
    return path


def batch(rows: int, **values: pa.Array) -> pa.RecordBatch:
    """A batch of SCHEMA from the columns given; the other (nullable) ones are null."""
    return pa.RecordBatch.from_arrays(
        [values.get(field.name, pa.nulls(rows, field.type)) for field in SCHEMA], names=SCHEMA.names
    )


def first_of_copies(rows: pa.Table, among: list[str]) -> pa.Table:
    """Drops rows that repeat an earlier one in the columns `among`; the others keep their order."""
    numbered = rows.append_column("_row", pa.array(np.arange(rows.num_rows)))
    kept = numbered.group_by(among, use_threads=False).aggregate([("_row", "min")])["_row_min"]
    return rows.take(kept.take(pc.sort_indices(kept)))


def ints(rows: pa.Table, *names: str) -> list[npt.NDArray[np.int64]]:
    """Columns as int64 arrays; a null is -1."""
    return [pc.fill_null(rows[name], -1).to_numpy().astype(np.int64) for name in names]
