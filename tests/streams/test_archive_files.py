"""Ranges of offsets on disk: names, days, growth, and what is kept."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streams.archive_files import ArchiveFiles, Range

DAY = 86_400_000


def table(rows: Sequence[tuple[int, float]], **more: Any) -> pa.Table:
    """Rows of (offset, event time in days)."""
    offsets, days = zip(*rows, strict=True)
    times = pa.array([round(day * DAY) for day in days], pa.timestamp("ms"))
    return pa.table({"event_time": times, "_offset": pa.array(offsets, pa.int64())} | more)


def offsets(path: Path) -> list[int]:
    found: list[int] = pq.ParquetFile(path).read()["_offset"].to_pylist()
    return found


def test_one_file_per_day_named_by_the_range(tmp_path: Path) -> None:
    ArchiveFiles(str(tmp_path)).write(
        Range("events", "behavior-events", 3, 64, [table([(64, 0), (65, 1.5), (66, 0.9)])])
    )
    assert offsets(tmp_path / "events/day=1970-01-01/behavior-events-3-64.parquet") == [64, 66]
    assert offsets(tmp_path / "events/day=1970-01-02/behavior-events-3-64.parquet") == [65]
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 2


def test_a_range_that_grew_replaces_its_files_and_leaves_days_that_did_not(tmp_path: Path) -> None:
    files, range_ = ArchiveFiles(str(tmp_path)), Range("events", "t", 0, 0, [table([(0, 0), (1, 1)])])
    files.write(range_)
    first = tmp_path / "events/day=1970-01-01/t-0-0.parquet"
    before = first.stat().st_ino
    range_.rows.append(table([(2, 1)]))
    files.write(range_)
    assert first.stat().st_ino == before
    assert offsets(tmp_path / "events/day=1970-01-02/t-0-0.parquet") == [1, 2]


def test_finds_what_it_holds_before_an_offset_of_that_range_only(tmp_path: Path) -> None:
    files = ArchiveFiles(str(tmp_path))
    for partition, first in [(0, 0), (0, 10), (1, 0)]:
        rows = [(first, 0), (first + 1, 1), (first + 2, 1)]
        files.write(Range("events", "t", partition, first, [table(rows)]))
    found = pa.concat_tables(files.before(Range("events", "t", 0, 10), 12))
    assert found["_offset"].to_pylist() == [10, 11]
    assert files.before(Range("predictions", "t", 0, 10), 12) == []


def test_rows_of_an_older_schema_stand_beside_new_ones(tmp_path: Path) -> None:
    new = table([(1, 0)], device=pa.array(["app"]))
    ArchiveFiles(str(tmp_path)).write(Range("events", "t", 0, 0, [table([(0, 0)]), new]))
    path = tmp_path / "events/day=1970-01-01/t-0-0.parquet"
    assert pq.ParquetFile(path).read()["device"].to_pylist() == [None, "app"]


def test_writes_to_any_file_system_that_fsspec_knows() -> None:
    ArchiveFiles("memory://somewhere/archive").write(Range("events", "t", 0, 0, [table([(0, 0)])]))
    memory = fsspec.filesystem("memory")
    assert memory.find("/somewhere") == ["/somewhere/archive/events/day=1970-01-01/t-0-0.parquet"]


def test_a_disk_that_refuses_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "events").write_text("a file where a folder should be")
    with pytest.raises(OSError, match="events"):
        ArchiveFiles(str(tmp_path)).write(Range("events", "t", 0, 0, [table([(0, 0)])]))
