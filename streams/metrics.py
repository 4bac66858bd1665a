"""The worker's counters, as Prometheus sees them. Labels are reasons, kinds and partitions, never shoppers."""

from __future__ import annotations

import time
from collections.abc import Sequence

from prometheus_client import Counter, Gauge, Histogram

from streams.shoppers import Work

EVENTS = Counter("intentflow_events_total", "Behaviour events applied and committed", ["partition"])
REDONE = Counter(
    "intentflow_redone_total", "Events applied again after a start, nothing published", ["partition"]
)
PREDICTIONS = Counter("intentflow_predictions_total", "Predictions published")
SHADOW = Counter("intentflow_shadow_predictions_total", "Events scored by the challenger, and published")
DECISIONS = Counter("intentflow_decisions_total", "Decisions published", ["outcome", "reason"])
TIMERS = Counter(
    "intentflow_timers_total", "Pauses and messages that wait: armed, cancelled, rang, raised", ["what"]
)
TIMERS.labels(
    "raised"
)  # at 0 from the start: the increase of a series that is born at 1 is 0, and no alert sees it
INTERVENTIONS = Counter("intentflow_interventions_total", "Interventions published", ["kind"])
DROPPED = Counter("intentflow_dropped_total", "Records not scored", ["reason"])
LATE = Counter("intentflow_late_events_total", "Events older than one seen before", ["handling"])
ROWS_WRITTEN = Counter("intentflow_rows_written_total", "Sequence rows written at checkpoints and evictions")
REBUILT = Counter("intentflow_rows_rebuilt_total", "Rows rebuilt from their ring for another release")
LATENCY = Histogram(
    "intentflow_latency_seconds",
    "From the record timestamp of a turn's oldest event to its commit",
    buckets=(
        0.005,
        0.01,
        0.02,
        0.03,
        0.05,
        0.08,
        0.12,
        0.2,
        0.3,
        0.5,
        0.8,
        1.2,
        2,
        3,
        5,
        10,
        30,
        60,
        300,
        1800,
    ),
)
BATCH = Histogram(
    "intentflow_batch_events",
    "Events in a turn, of all partitions",
    buckets=(1, 4, 16, 64, 256, 512, 1024, 2048, 4096, 8192, 65536),
)
REOPENED = Counter(
    "intentflow_partitions_reopened_total", "Partitions whose state was built anew in place", ["why"]
)
STAGE = Counter("intentflow_stage_seconds_total", "Compute seconds by stage of the pass", ["stage"])
COMMIT = Counter("intentflow_commit_seconds_total", "Seconds in transactions, overlapping with compute")
LAG = Gauge("intentflow_lag_records", "Records behind the end of the partition", ["partition"])
HOT_ROWS = Gauge("intentflow_hot_rows", "Shoppers in memory", ["partition"])
RELEASE = Gauge("intentflow_release_info", "1 for the release in use", ["release"])


def release_in_use(release: str) -> None:
    """One series at a time: the release before it disappears."""
    if (release,) not in RELEASE._metrics:
        RELEASE.clear()
        RELEASE.labels(release).set(1)


def count(works: Sequence[tuple[int, Work]]) -> None:
    """Book one committed turn: what it made of which partitions."""
    if not works:
        return
    BATCH.observe(sum(work.events for _, work in works))
    oldest = min((work.oldest for _, work in works if work.oldest), default=0)
    if oldest:
        LATENCY.observe(max(0.0, time.time() - oldest / 1000))
    for partition, work in works:
        EVENTS.labels(str(partition)).inc(work.events)
        PREDICTIONS.inc(len(work.records.get("prediction", ())))
        SHADOW.inc(len(work.records.get("shadow_prediction", ())))
        ROWS_WRITTEN.inc(len(work.sequences))
        for decision in work.decisions:
            DECISIONS.labels(decision.outcome, decision.reason).inc()
            if decision.intervention is not None:
                INTERVENTIONS.labels(decision.kind).inc()
        for what, number in work.timers.items():
            TIMERS.labels(what).inc(number)
        for reason, number in work.reasons.items():
            DROPPED.labels(reason).inc(number)
        if work.applied is not None:
            LATE.labels("rebuilt").inc(work.applied.late)
            LATE.labels("ignored").inc(work.applied.too_late)
            REBUILT.inc(work.applied.rebuilt)
