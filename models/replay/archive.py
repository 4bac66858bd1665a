"""Reads the Parquet archive, day by day; within a day by partition and offset.

<archive_uri>/<kind>/day=YYYY-MM-DD/<topic>-<partition>-<first offset>.parquet, as the archive agent wrote it. Memory is
that of one row group at a time.
"""

import posixpath
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from models.replay.source import Batch, Interval, SourceProblem
from schemas.settings import Settings

_FILE = re.compile(r".+-(\d+)-(\d+)\.parquet")
LOG = ("_partition", "_offset", "_timestamp")
_ROWS = 1 << 16  # most of a table


def read_events(settings: Settings, interval: Interval) -> Iterator[Batch]:
    """Events of the days that the interval touches. SourceProblem when there are none, or a file cannot be read."""
    fs, found = files(settings, "events", interval)
    for path in found:
        yield from read_file(fs, path)


def read_file(fs: Any, path: str) -> Iterator[Batch]:
    """Events of one file."""
    for table in _read(fs, path, None, {}):
        (rows,) = table.to_batches()
        partition, offset, timestamp = (rows.column(name).to_numpy() for name in LOG)
        yield Batch(rows.drop_columns(list(LOG)), partition, offset, timestamp)


def read(
    settings: Settings,
    kind: str,
    interval: Interval,
    columns: list[str] | None = None,
    lately: Mapping[str, str] | None = None,
) -> Iterator[pa.Table]:
    """Tables in the order of the log; kind is events, predictions, shadow_predictions, decisions or outcomes. Days as for
    `read_events`. lately: texts that stand for columns which files of earlier versions lack."""
    fs, found = files(settings, kind, interval)
    for path in found:
        yield from _read(fs, path, columns, lately or {})


def files(settings: Settings, kind: str, interval: Interval) -> tuple[Any, list[str]]:
    """The archive's file system, and the paths of the days that the interval touches. SourceProblem when there are none."""
    fs, root = fsspec.url_to_fs(settings.archive_uri)
    found = [path for day in _days(interval) for path in _files(fs, f"{root}/{kind}/day={day}")]
    if not found:
        raise SourceProblem(
            f"archive {settings.archive_uri}: no {kind} in {interval}; archive them first "
            "(`intentflow archive --until-end`), set INTENTFLOW_ARCHIVE_URI, or choose another interval"
        )
    return fs, found


def count(settings: Settings, interval: Interval) -> int:
    """Events in the files of the days that the interval touches, from what the files say of themselves."""
    fs, found = files(settings, "events", interval)
    return sum(_count(fs, path) for path in found)


def newest_day(settings: Settings, kind: str) -> int | None:
    """When the last day of which there are rows of this kind ends, ms since 1970 UTC; None when there is none."""
    fs, root = fsspec.url_to_fs(settings.archive_uri)
    folder = f"{root}/{kind}"
    if not fs.isdir(folder):
        return None
    found = [
        re.fullmatch(r"day=(\d{4}-\d\d-\d\d)", posixpath.basename(path))
        for path in fs.ls(folder, detail=False)
    ]
    days = [match[1] for match in found if match]
    if not days:
        return None
    after = datetime.fromisoformat(max(days)).replace(tzinfo=UTC) + timedelta(days=1)
    return round(after.timestamp() * 1000)


def _days(interval: Interval) -> Iterator[str]:
    day = datetime.fromtimestamp(interval.start / 1000, UTC).date()
    last = datetime.fromtimestamp((interval.stop - 1) / 1000, UTC).date()
    while day <= last:
        yield day.isoformat()
        day += timedelta(days=1)


def _files(fs: Any, folder: str) -> list[str]:
    """Paths of the day, by partition and first offset."""
    if not fs.isdir(folder):
        return []
    found = []
    for path in fs.ls(folder, detail=False):
        match = _FILE.fullmatch(posixpath.basename(path))
        if match:
            found.append((int(match[1]), int(match[2]), path))
    return [path for _, _, path in sorted(found)]


def _read(fs: Any, path: str, columns: list[str] | None, lately: Mapping[str, str]) -> Iterator[pa.Table]:
    with _worded(path), fs.open(path, "rb") as file, pq.ParquetFile(file) as parquet:
        there = set(parquet.schema_arrow.names)
        missing = sorted(set(columns or LOG) - there - lately.keys())
        if missing:
            raise SourceProblem(
                f"archive file {path}: columns {', '.join(missing)} are missing; was it written by intentflow?"
            )
        added = {name: text for name, text in lately.items() if name in (columns or ()) and name not in there}
        wanted = None if columns is None else [name for name in columns if name not in added]
        for batch in parquet.iter_batches(_ROWS, columns=wanted, use_threads=False):
            table = pa.Table.from_batches([batch])
            for name, text in added.items():
                table = table.append_column(name, pa.repeat(pa.scalar(text), len(table)))
            yield table


def _count(fs: Any, path: str) -> int:
    with _worded(path), fs.open(path, "rb") as file:
        return int(pq.read_metadata(file).num_rows)


@contextmanager
def _worded(path: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as problem:
        raise SourceProblem(
            f"archive file {path}: cannot be read ({str(problem).splitlines()[0]}): it is cut short or damaged; delete it "
            "and archive that day again (`intentflow archive`), or restore it from a copy"
        ) from problem
