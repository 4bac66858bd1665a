"""Reads the Parquet archive, day by day; within a day by partition and offset.

<archive_uri>/<kind>/day=YYYY-MM-DD/<topic>-<partition>-<first offset>.parquet, as the archive agent wrote it. Memory is
that of one file at a time.
"""

import posixpath
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from models.replay.source import Batch, Interval, SourceProblem
from schemas.settings import Settings

_FILE = re.compile(r".+-(\d+)-(\d+)\.parquet")
_LOG = ("_partition", "_offset", "_timestamp")


def read_events(settings: Settings, interval: Interval) -> Iterator[Batch]:
    """Events of the days that the interval touches. SourceProblem when there are none, or a file cannot be read."""
    for table in read(settings, "events", interval):
        events = table.drop_columns(list(_LOG)).combine_chunks()
        partition, offset, timestamp = (table[name].to_numpy() for name in _LOG)
        batches = events.to_batches()
        if batches:
            yield Batch(batches[0], partition, offset, timestamp)


def read(
    settings: Settings, kind: str, interval: Interval, columns: list[str] | None = None
) -> Iterator[pa.Table]:
    """Tables of one file each; kind is events, predictions, shadow_predictions or decisions. Days as for `read_events`."""
    fs, root = fsspec.url_to_fs(settings.archive_uri)
    files = [path for day in _days(interval) for path in _files(fs, f"{root}/{kind}/day={day}")]
    if not files:
        raise SourceProblem(
            f"archive {settings.archive_uri}: no {kind} in {interval}; archive them first "
            "(`intentflow archive --until-end`), set INTENTFLOW_ARCHIVE_URI, or choose another interval"
        )
    for path in files:
        yield _read(fs, path, columns)


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


def _read(fs: Any, path: str, columns: list[str] | None) -> pa.Table:
    try:
        with fs.open(path, "rb") as file:
            table = pq.read_table(file, columns=columns)
    except (pa.ArrowException, OSError) as problem:
        raise SourceProblem(
            f"archive file {path}: cannot be read ({str(problem).splitlines()[0]}): it is cut short or damaged; delete it "
            "and archive that day again (`intentflow archive`), or restore it from a copy"
        ) from problem
    wanted = set(columns or _LOG)
    missing = sorted(wanted - set(table.column_names))
    if missing:
        raise SourceProblem(
            f"archive file {path}: columns {', '.join(missing)} are missing; was it written by intentflow?"
        )
    return table
