"""What is told of a partition that opens and redoes."""

import logging

import pytest

from streams.progress import Progress


def test_redo_ends_at_the_committed_offset() -> None:
    progress = Progress()
    progress.opened(100, 300)
    assert (progress.state, progress.position) == ("redo", 300)
    progress.applied_to(200)
    assert progress.page() | {"seconds_left": 0} == {
        "state": "redo",
        "position": 300,
        "redone": 100,
        "to_redo": 200,
        "seconds_left": 0,
    }
    progress.applied_to(320)
    assert (progress.state, progress.position) == ("live", 320)


def test_markers_at_the_end_of_the_log_do_not_hold_redo_up() -> None:
    progress = Progress()
    progress.opened(100, 300)
    progress.applied_to(299)
    progress.passed(299)
    assert progress.state == "redo"
    progress.passed(300)
    assert progress.state == "live"


def test_time_left_follows_from_the_rate_so_far() -> None:
    progress = Progress(since=1000.0)
    assert progress.seconds_left(1010.0) is None
    progress.reading(250, 1000)
    assert progress.seconds_left(1010.0) == pytest.approx(30.0)


def test_the_log_says_how_far_and_how_long(caplog: pytest.LogCaptureFixture) -> None:
    progress = Progress(since=0.0)
    progress.reading(2_500, 10_000)
    with caplog.at_level(logging.WARNING):
        progress.tell(3)
        progress.tell(3)
    assert len(caplog.records) == 1
    assert "partition 3: 2,500 of 10,000 changelog offsets read, about" in caplog.text
