"""`intentflow replay drift`: is what a release sees and says over an interval still what it saw and said in training?

intentflow replay drift --from 2017-09-01 --to 2017-11-01 --metrics /var/lib/node_exporter/intentflow.prom
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from models import engine
from models.drift import psi, record, reference
from models.drift.measure import Drift, measure, summary
from models.release import Release
from models.replay.dataset import Sequences
from models.replay.job import Job
from models.replay.source import Interval, iso


def add(verbs: Any) -> argparse.ArgumentParser:
    """The verb's options; those of interval, release and history are added by the caller."""
    about = "hold what a release sees and says against its training interval"
    verb: argparse.ArgumentParser = verbs.add_parser("drift", help=about, description=about)
    verb.add_argument(
        "--metrics", metavar="FILE", help="write Prometheus metrics, for the node exporter's textfiles"
    )
    verb.add_argument("--dry-run", action="store_true", help="only print; publish no record on model-drift")
    return verb


def run(given: argparse.Namespace, job: Job, of: Release) -> Drift:
    """Measures, prints, publishes. Raises ReleaseProblem or SourceProblem."""
    reference.read(of)  # before anything is read that takes long
    found = of_release(job, of, Interval.between(given.start, given.stop), job.build())
    console = Console(width=None if sys.stdout.isatty() else 140)
    for table in tables(found):
        console.print(table)
    for change in found.changes:
        job.say(f"changed: {change.series}, noticed {iso(change.at)}")
    job.say(summary(found))
    if given.metrics:
        record.write_metrics(found, Path(given.metrics))
    if not given.dry_run:
        record.publish(job.settings, found)
    return found


def of_release(job: Job, of: Release, interval: Interval, sequences: Sequences) -> Drift:
    """The drift over `interval`; the sequences begin earlier, so that shoppers have their history."""
    columns = reference.read(of)
    backend = engine.load(of.uri, "onnx", "cpu", job.settings.engine_threads)
    found = reference.sample(sequences, backend, of.card.features, interval)
    return measure(of.id, columns, found, sequences, backend.tasks, interval)


def tables(drift: Drift) -> list[Table]:
    """Columns, the most drifted first; then calibration."""
    title = (
        f"{drift.release} on {drift.interval}: {drift.rows:,} moments of {drift.shoppers:,} shoppers\n"
        f"PSI above {psi.LOOK:g}: look, above {psi.DRIFT:g}: drift (Siddiqi 2006), if above what chance gives"
    )
    made = Table(title=title, title_justify="left")
    for name in ("column", "kind", "PSI", "by chance", "KS", "p", "verdict"):
        made.add_column(name, justify="left" if name in ("column", "kind", "verdict") else "right")
    for one in sorted(drift.shifts, key=lambda one: -one.psi):
        ks = ("–", "–") if one.ks is None or one.p is None else (f"{one.ks:.3f}", f"{one.p:.2g}")
        made.add_row(one.name, one.kind, f"{one.psi:.3f}", f"{one.noise:.3f}", *ks, one.verdict)
    if not drift.calibration:
        return [made]
    came = Table(title="Predictions whose horizon has ended", title_justify="left")
    for name in ("task", "rows", "expected", "observed", "95 % of the difference", "verdict"):
        came.add_column(name, justify="left" if name in ("task", "verdict") else "right")
    for task in drift.calibration:
        came.add_row(
            task.task,
            f"{task.rows:,}",
            f"{task.expected:.4f}",
            f"{task.observed:.4f}",
            f"{task.low:+.4f} … {task.high:+.4f}",
            task.verdict,
        )
    return [made, came]
