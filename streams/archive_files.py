"""The archive's files: ranges of offsets as Parquet, by day of event time. Used by the archive agent.

    <archive_uri>/<kind>/day=YYYY-MM-DD/<topic>-<partition>-<first offset>.parquet

A file appears whole or not at all, and is on the disk (not only in the system's cache) when `write` returns.
"""

import io
import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

DAY_MS = 86_400_000
FILES_AT_ONCE = 16


@dataclass
class Range:
    """Rows of one topic partition from offset `first` on, up to the next range, in offset order.

    rows: tables with the topic's columns and `_partition`, `_offset`, `_timestamp`. grown: rows came since the last
    write. on_disk: rows in each day's file, by day number since 1970.
    """

    kind: str
    topic: str
    partition: int
    first: int
    rows: list[pa.Table] = field(default_factory=list)
    grown: bool = False
    on_disk: dict[int, int] = field(default_factory=dict)

    @property
    def file_name(self) -> str:
        return f"{self.topic}-{self.partition}-{self.first}.parquet"


class ArchiveFiles:
    """The files under one local folder or fsspec URL."""

    def __init__(self, uri: str) -> None:
        self._fs, self._root = fsspec.core.url_to_fs(uri)
        self._threads = ThreadPoolExecutor(FILES_AT_ONCE, "archive")

    def write(self, range_: Range) -> None:
        """Put all rows of the range on disk, one file per day; days that have not grown are left as they are."""
        table = pa.concat_tables(range_.rows, promote_options="default")
        days = table["event_time"].cast(pa.int64()).to_numpy() // DAY_MS
        order = np.argsort(days, kind="stable")
        table = table.take(pa.array(order))
        numbers, begins, counts = np.unique(days[order], return_index=True, return_counts=True)
        grown = [
            (f"{self._root}/{range_.kind}/day={np.datetime64(day, 'D')}", table.slice(begin, count))
            for day, begin, count in zip(numbers.tolist(), begins.tolist(), counts.tolist(), strict=True)
            if range_.on_disk.get(day) != count
        ]
        # Waiting for the disk is most of the work, and the waits of several files overlap.
        list(self._threads.map(lambda file: self._put(file[0], range_.file_name, file[1]), grown))
        range_.on_disk = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
        range_.grown = False

    def before(self, range_: Range, offset: int) -> list[pa.Table]:
        """What the files of this range already hold of offsets smaller than `offset`."""
        paths = self._fs.glob(f"{self._root}/{range_.kind}/day=*/{range_.file_name}")
        tables = []
        for path in sorted(paths):
            with self._fs.open(path, "rb") as file:
                table = pq.read_table(file)
            tables.append(table.filter(pa.array(table["_offset"].to_numpy() < offset)))
        return tables

    def _put(self, folder: str, name: str, rows: pa.Table) -> None:
        data = _parquet(rows)
        self._fs.makedirs(folder, exist_ok=True)
        if not isinstance(self._fs, LocalFileSystem):
            self._fs.pipe_file(f"{folder}/{name}", bytes(data))  # an object appears whole in an object store
            return
        draft = f"{folder}/{name}.{uuid.uuid4().hex[:8]}.tmp"
        with open(draft, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, f"{folder}/{name}")
        _sync_folder(folder)


def _parquet(table: pa.Table) -> memoryview:
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getbuffer()


def _sync_folder(folder: str) -> None:
    """The new name, too, must be on the disk before offsets are committed."""
    if os.name == "nt":  # has no such thing
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
