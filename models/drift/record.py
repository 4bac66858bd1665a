"""A measurement as others read it: a record of the topic model-drift, and a file of Prometheus metrics."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from models.drift.measure import VERDICTS, Drift
from models.release import ReleaseProblem
from schemas.codec import Codec
from schemas.kafka import written
from schemas.registry import open_registry
from schemas.settings import Settings
from schemas.topics import Topics

SCHEMA = "model_drift"
TIMEOUT_S = 30.0


def row(drift: Drift, model: str, measured_at: int) -> dict[str, Any]:
    """As schemas/model_drift.avsc has it."""
    return {
        "release": drift.release,
        "model": model,
        "measured_at": measured_at,
        "interval_start": drift.interval.start,
        "interval_stop": drift.interval.stop,
        "rows": drift.rows,
        "shoppers": drift.shoppers,
        "verdict": drift.verdict,
        "columns": [
            {
                "name": one.name,
                "kind": one.kind,
                "psi": one.psi,
                "noise": one.noise,
                "ks": one.ks,
                "ks_p": one.p,
                "verdict": one.verdict,
            }
            for one in drift.shifts
        ],
        "calibration": [vars(one) for one in drift.calibration],
        "changes": [{"series": one.series, "at": one.at} for one in drift.changes],
    }


def publish(settings: Settings, drift: Drift) -> None:
    """Writes the record; returns once the brokers have it. Raises ReleaseProblem when they do not take it."""
    topic = Topics(settings).model_drift
    record = row(drift, settings.model_name, int(time.time() * 1000))
    (value,) = Codec(open_registry(settings), SCHEMA).encode_rows([record])
    why = written(settings, topic, {drift.release.encode(): value}, TIMEOUT_S)
    if why:
        raise ReleaseProblem(
            f"{topic}: the drift of {drift.release} was not written ({why}); is Kafka up, and is the topic there "
            "(`intentflow topics create`)? --dry-run only prints"
        )


def write_metrics(drift: Drift, path: Path) -> None:
    """A file as Prometheus' node exporter collects it (*.prom), replaced as a whole."""
    from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

    registry = CollectorRegistry()

    def gauge(name: str, about: str, labels: tuple[str, ...] = ()) -> Any:
        return Gauge(name, about, ("release", *labels), registry=registry)

    psi = gauge(
        "intentflow_drift_psi", "Population stability index against the training interval", ("column", "kind")
    )
    ks = gauge(
        "intentflow_drift_ks_distance",
        "Kolmogorov-Smirnov distance to the training interval",
        ("column", "kind"),
    )
    for one in drift.shifts:
        psi.labels(drift.release, one.name, one.kind).set(one.psi)
        if one.ks is not None:
            ks.labels(drift.release, one.name, one.kind).set(one.ks)
    expected = gauge(
        "intentflow_drift_expected_ratio", "Mean score of predictions whose horizon has ended", ("task",)
    )
    observed = gauge("intentflow_drift_observed_ratio", "Share of them that came true", ("task",))
    for task in drift.calibration:
        expected.labels(drift.release, task.task).set(task.expected)
        observed.labels(drift.release, task.task).set(task.observed)
    gauge("intentflow_drift_changes", "Changes of a score's or an error's mean within the interval").labels(
        drift.release
    ).set(len(drift.changes))
    verdict = gauge("intentflow_drift_verdict", "0 steady, 1 look, 2 drift")
    verdict.labels(drift.release).set(VERDICTS.index(drift.verdict))
    until = gauge("intentflow_drift_until_timestamp_seconds", "Event time until which drift was measured")
    until.labels(drift.release).set(drift.interval.stop / 1000)
    write_to_textfile(str(path), registry)
