"""What latencies are reckoned from: the schedule, an event's place in it by its time, quantiles of a histogram."""

import numpy as np
import pyarrow as pa
import pytest

from bench.latency import Read, bucket_quantile, figures_of, number_by_time, quantiles
from bench.steady import Schedule, Sent, timed
from schemas.codec import Codec
from schemas.registry import open_registry
from schemas.settings import Settings


def test_every_event_has_its_moment_and_is_due_from_then_on():
    schedule = Schedule(begun=100.0, rate=50.0)
    assert schedule.due(np.array([0, 1, 50])) == pytest.approx([100.0, 100.02, 101.0])
    assert schedule.reached(99.0) == 0
    assert schedule.reached(100.0) == 1
    assert schedule.reached(101.0) == 51


def test_an_event_is_found_again_by_its_time_and_never_placed_late(settings: Settings):
    workload = timed(100, 3_000.0, 2.0)
    schema = Codec(open_registry(settings), "behavior_event").arrow_schema
    table = pa.Table.from_batches(workload.batches(schema))
    times = table.column("event_time").cast(pa.int64()).to_numpy()
    found = number_by_time(workload, 3_000.0, times)
    behind = np.arange(workload.events) - found
    assert behind.min() >= 0  # due no later than it was: a latency is never made smaller
    assert behind.max() <= 3  # three events a millisecond


def test_a_stall_counts_from_when_events_were_due_and_the_warm_up_does_not_count():
    workload = timed(10, 10.0, 4.0)
    schedule = Schedule(begun=0.0, rate=10.0)
    sent = Sent(
        np.array([0, 20, 39]), np.array([9.0, 0.001, 0.001]), np.array([9.0, 0.01, 0.01]), 1_000.0, 0.5
    )
    begin = workload.end - 4_000
    late = Read(
        np.array([begin + 100.0, begin + 3_000.0]),  # the first event, and the thirtieth
        np.array([1_000_000.0, 1_003_500.0]),
        np.array([9.0, 4.0]),
    )
    figures = figures_of(workload, schedule, sent, late, warm_up=1.0)
    assert figures["interventions"] == 1
    assert figures["p50_ms"] == pytest.approx(1_100.0)
    assert figures["parts"]["due_to_built_p50_ms"] == pytest.approx(600.0)
    assert figures["parts"]["built_to_read_p50_ms"] == pytest.approx(500.0)
    assert figures["parts"]["due_to_acknowledged_max_ms"] == pytest.approx(10.0)


def test_quantiles_are_in_milliseconds():
    found = quantiles("", np.arange(1, 1_001) / 1_000)
    assert list(found) == ["p50_ms", "p99_ms", "p999_ms", "max_ms"]
    assert found["p50_ms"] == pytest.approx(500.5)
    assert found["max_ms"] == pytest.approx(1_000.0)


def test_a_histogram_is_read_between_two_looks():
    name = "intentflow_latency_seconds_bucket"
    before = {f"{name}[0.1]": 5.0, f"{name}[0.2]": 5.0, f"{name}[+Inf]": 5.0}
    after = {f"{name}[0.1]": 15.0, f"{name}[0.2]": 95.0, f"{name}[+Inf]": 105.0}
    assert bucket_quantile(before, after, 0.5) == pytest.approx(0.15)
    assert bucket_quantile(before, after, 0.999) == pytest.approx(0.2)  # beyond the last edge: at least that
    assert bucket_quantile({}, {}, 0.5) == 0.0
