"""`make faults`: streams real shoppers' events through workers on a real Kafka, does harm, and compares everything.

    python -m tests.faults                 the full form, about half an hour, into bench/results/faults.json
    SHORT=1 python -m tests.faults         every cheap harm once, in minutes; figures in .intentflow/bench/faults.json
    python -m tests.faults --seed 7        the harms of another seed; --only NAME … some of them alone

Ends with 1 when anything is lost, doubled or different.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from bench import report
from tests.brokers import Unavailable
from tests.brokers.kafka import VERSION
from tests.faults.campaign import Campaign, Outcome
from tests.faults.harms import HARMS
from tests.faults.plan import FULL_KILLS
from tests.faults.scenarios import SCENARIOS


def main() -> int:
    options = _options()
    short = os.environ.get("SHORT", "") not in ("", "0")
    with tempfile.TemporaryDirectory(prefix="intentflow-faults-") as folder:
        try:
            outcome = Campaign(Path(folder), options.seed, short, options.only).run()
        except Unavailable as missing:
            print(f"not run: {missing}")
            return 1
    return finish(outcome, trial=short or bool(options.only))


def finish(outcome: Outcome, trial: bool) -> int:
    """Write and show the report; returns the exit status."""
    bars = [
        report.at_most("records lost", len(outcome.findings.lost), 0),
        report.at_most("records doubled", len(outcome.findings.doubled), 0),
        report.at_most("records and rows that differ", len(outcome.findings.differing), 0),
        report.at_most("harms that could not be done", len(outcome.failed), 0),
    ]
    if not trial:
        bars.append(report.at_least("kill -9 of a worker", outcome.kills, FULL_KILLS))
    made = report.Report(
        "faults",
        "make faults" if not trial else "a trial run of faults",
        report.commit(),
        datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        report.hardware(),
        {"python": platform.python_version(), "kafka": VERSION, **report.libraries()},
        outcome.figures(),
        tuple(bars),
    )
    path = made.write(report.TRIALS if trial else report.RESULTS)
    report.show(made, Console())
    print(f"{outcome.findings}\nwritten to {path.relative_to(report.ROOT)}")
    return 0 if made.holds else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Does harm, and compares.")
    parser.add_argument(
        "--seed", type=int, default=int.from_bytes(os.urandom(3), "big"), help="of everything random"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=[*HARMS, *SCENARIOS],
        metavar="NAME",
        default=[],
        help="these harms alone",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
