"""Reading the archive: in order, without what the live path refuses, and with errors that say what to mend."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from models.replay.history import DAY_MS
from models.replay.source import Interval, SourceProblem
from schemas.settings import Settings
from tests.models.replay.shop import START, event, read, write


def test_events_are_read_back_in_the_order_of_the_log(settings: Settings) -> None:
    events = [event("a", START + hour * 3_600_000) for hour in range(60)]
    write(Path(settings.archive_uri), events)
    found = read(settings, 2, Counter())
    assert found.events["time"].tolist() == [row["event_time"] for row in events[:48]]


def test_what_the_live_path_refuses_is_left_out_and_counted(settings: Settings) -> None:
    bad = [
        event("", START),
        event("a", START + 1, price=float("nan")),
        event("a", START + 2, quantity=-1.0),
        event("a", START + 3, event_id="x" * 300),
    ]
    write(Path(settings.archive_uri), [*bad, event("a", START + 4)])
    dropped: Counter[str] = Counter()
    assert len(read(settings, 1, dropped)) == 1
    assert dropped == {"missing_user": 1, "bad_number": 2, "bad_id": 1}


def test_an_archive_without_the_interval_names_it_and_the_mend(settings: Settings) -> None:
    with pytest.raises(SourceProblem, match=r"no events in 2017-01-01.*intentflow archive"):
        read(settings, 3, Counter())


def test_a_file_cut_short_is_named(settings: Settings) -> None:
    write(Path(settings.archive_uri), [event("a", START)])
    file = next(Path(settings.archive_uri).rglob("*.parquet"))
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(SourceProblem, match=rf"{file.name}.*cut short or damaged; delete it"):
        read(settings, 1, Counter())


def test_an_interval_must_end_after_it_starts() -> None:
    with pytest.raises(SourceProblem, match="--from before --to"):
        Interval(START, START)
    with pytest.raises(SourceProblem, match="want an ISO time"):
        Interval.between("yesterday", "2017-01-01")
    assert Interval.between("2017-01-01", "2017-01-02T00:00:00+00:00") == Interval(START, START + DAY_MS)
