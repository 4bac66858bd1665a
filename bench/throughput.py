"""Rates and stage times, taken between two moments of a program at work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.processes import Sample, changes

UNCOUNTED = 20_000  # offsets and counters are read one after the other, and batches are counted after commit


def saturation(samples: list[Sample], events: int) -> dict[str, Any]:
    """Rate and stage times over the steady stretch: from the first checkpoint's rows, or a third of the backlog at
    the latest, to the last commit that left some of it."""
    moved = [sample for sample in changes(samples) if sample.committed < events]
    steady = [
        sample
        for sample in moved
        if sample.metrics.get("intentflow_rows_written_total", 0.0) or sample.committed > events / 3
    ]
    if len(steady) < 2:
        raise RuntimeError(f"the backlog of {events:,} events is too small to measure: more --events")
    first, last = steady[0], steady[-1]
    committed = last.committed - first.committed
    predictions = delta(first, last, "intentflow_predictions_total")[""]
    if predictions < 0.95 * committed - UNCOUNTED:
        raise RuntimeError(f"{committed:,} events committed, {predictions:,.0f} predictions")
    per_event = 1e6 / committed
    stages = delta(first, last, "intentflow_stage_seconds_total")
    batches = delta(first, last, "intentflow_batch_events_count")[""]
    decided = sum(delta(first, last, "intentflow_decisions_total").values())
    wall = last.at - first.at
    worker = rates(first, last) | {
        "events_per_batch": committed / max(batches, 1),
        "decisions_per_100_events": 100 * decided / committed,
        "rows_checkpointed_per_s": delta(first, last, "intentflow_rows_written_total")[""] / wall,
    }
    compute = {name: seconds * per_event for name, seconds in stages.items()}
    commit = delta(first, last, "intentflow_commit_seconds_total")[""]
    return {
        "worker": worker,
        "stage_us_per_event": compute | {"all_compute": sum(compute.values())},
        "commit": {
            "us_per_event_overlapping": commit * per_event,
            "transactions_open_on_average": commit / wall,
            "compute_thread_busy_share": sum(stages.values()) / wall,
        },
    }


def rates(first: Sample, last: Sample) -> dict[str, Any]:
    """What both programs are measured by, between two commits."""
    events = last.committed - first.committed
    return {
        "events_per_s": events / (last.at - first.at),
        "measured_s": last.at - first.at,
        "measured_events": events,
        "cpu_us_per_event": (last.cpu - first.cpu) / events * 1e6,
        "cores_used": (last.cpu - first.cpu) / (last.at - first.at),
        "broker_cores_used": (last.broker_cpu - first.broker_cpu) / (last.at - first.at),
        "memory_mib": last.rss_mib,
    }


def delta(first: Sample, last: Sample, counter: str) -> Mapping[str, float]:
    """Growth of a counter by its labels ("" for none)."""
    found = {"": 0.0} if counter in last.metrics or not last.metrics else {}
    for name, value in last.metrics.items():
        family, _, labels = name.partition("[")
        if family == counter:
            found[labels.rstrip("]")] = value - first.metrics.get(name, 0.0)
    return found
