"""The arithmetic of the floor, and the rounds that its steps go in."""

import pytest

from bench.floor import Threads, beyond, rows_per_event
from bench.minimal import rounds
from bench.processes import Sample


def sample(committed: int, **metrics: float) -> Sample:
    return Sample(0.0, committed, 0.0, 0.0, 0.0, metrics)


def test_rounds_cover_the_batch_and_grow_smaller():
    sizes = rounds(4_096, 500)
    assert sum(sizes) == 4_096
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] <= 500
    assert len(rounds(100, 10**9)) == 1
    assert rounds(0, 10) == []


def test_rows_read_are_those_that_came_into_memory():
    ends = {
        "intentflow_hot_rows[0]": 30.0,
        "intentflow_hot_rows[1]": 20.0,
        "intentflow_rows_written_total": 100.0,
    }
    samples = [sample(0), sample(1_000, **ends), sample(2_000, **ends)]
    assert rows_per_event(samples, 2_000, hot_rows=64) == (0.05, 0.1)


def test_rows_read_are_not_guessed_when_memory_was_full():
    samples = [sample(0), sample(1_000, **{"intentflow_hot_rows[0]": 64.0}), sample(2_000)]
    with pytest.raises(ValueError, match="rows in memory are full"):
        rows_per_event(samples, 2_000, hot_rows=64)


def test_all_of_the_compute_thread_is_in_the_table_and_nothing_twice():
    stages = {"decode": 3.0, "rows": 1.0, "step": 6.0, "strange": 0.5, "all_compute": 10.5}
    parts = {"decode": 1.0, "step": 4.0, "heads": 2.0, "store": 0.25, "produce": 1.5}
    table = beyond(stages, parts, Threads(11.0, 5.0), Threads(9.0, 4.0))
    assert table["decode"]["beyond"] == 2.0
    assert table["strange"] == {"worker": 0.5, "floor": 0.0, "beyond": 0.5, "the_rest_is": "not in the floor"}
    assert "all_compute" not in table
    assert sum(row["worker"] for row in table.values()) == pytest.approx(16.0)
    assert table["other threads"]["beyond"] == 1.0
