"""`make bench-memory`: a million shoppers through one worker; its memory must stay as its settings say.

Every shopper comes once, so most rows are made and put away to make room; then half a million events of shoppers drawn
anew bring rows back from RocksDB. The worker's resident memory is followed all the way.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import report
from bench.deployment import deploy
from bench.memory_bound import bound_mib
from bench.processes import Sample, Worker, changes, follow, memory_mib, say
from bench.workload import Workload, produce
from schemas.settings import Settings
from tests.brokers import kafka

LIMIT_S = 1_800.0


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="intentflow-bench-") as name, kafka.Kafka() as broker:
        folder = Path(name)
        settings = deploy(broker.bootstrap, folder)
        workload = Workload(options.shoppers, options.shoppers + options.again, each_once=True)
        say(f"producing {workload.events:,} events, {workload.shoppers:,} shoppers")
        produce(settings, workload)
        say("the worker takes them")
        with Worker(settings, folder) as worker:
            idle = memory_mib(worker.pid, "VmRSS")
            samples = follow(worker, broker.pid, lambda sample: sample.committed >= workload.events, LIMIT_S)
            time.sleep(settings.checkpoint_interval_s * 1.5)  # the last checkpoint, too
            worker.check()
            peak = memory_mib(worker.pid, "VmHWM")
        figures = summary(settings, workload, samples, idle, peak)
    if samples[-1].committed < workload.events:
        print(
            f"only {samples[-1].committed:,} of {workload.events:,} events within {LIMIT_S:g} s",
            file=sys.stderr,
        )
        return 1
    bar = report.at_most("worker memory, MiB", peak, round(figures["bound_mib"]["total"]))
    return report.finish("memory", figures, [bar], {"kafka": kafka.VERSION}, report.trial())


def summary(
    settings: Settings, workload: Workload, samples: list[Sample], idle: float, peak: float
) -> dict[str, Any]:
    """Memory over the run, the bound with its parts, and how fast it went."""
    moved = changes(samples)
    first, last = moved[0], moved[-1]
    rate = (last.committed - first.committed) / (last.at - first.at)
    share = {f"at_{part}%": _at(samples, workload.events * part // 100) for part in (25, 50, 75, 100)}
    return {
        "shoppers": workload.shoppers,
        "events": workload.events,
        "hot_rows": settings.hot_rows,
        "events_per_s": rate,
        "cpu_us_per_event": (last.cpu - first.cpu) / (last.committed - first.committed) * 1e6,
        "rows_written": last.metrics.get("intentflow_rows_written_total", 0.0),
        "memory_mib": {"at_start": idle, **share, "peak": peak},
        "bound_mib": bound_mib(settings),
    }


def _at(samples: list[Sample], committed: int) -> float:
    """Memory when so many events were committed."""
    return next((sample.rss_mib for sample in samples if sample.committed >= committed), samples[-1].rss_mib)


def _options() -> argparse.Namespace:
    short = report.fast()
    parser = argparse.ArgumentParser(prog="python -m bench.memory")
    parser.add_argument("--shoppers", type=int, default=200_000 if short else 1_000_000)
    parser.add_argument(
        "--again", type=int, default=50_000 if short else 500_000, help="events after the first round"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
