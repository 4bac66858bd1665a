"""`make bench`: one worker on a real Kafka, exactly once, beside plain Faust doing the same job on the same events.

1. A backlog is produced; the worker takes it as fast as it can. Rates are taken after its first checkpoint interval,
   from the offsets that its transactions committed; stage times from its own counters over the same stretch.
2. The worker ends; plain Faust takes the same topic from its start.

Latency is a measurement of its own: bench/latency.py.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import report
from bench.deployment import deploy
from bench.memory_bound import bound_mib
from bench.peers import plain_faust
from bench.processes import Committed, Running, Sample, Worker, changes, follow, say
from bench.throughput import rates, saturation
from bench.warming import warm
from bench.workload import Workload, produce
from schemas.settings import Settings
from tests.brokers import kafka

RATIO = 20.0  # against plain Faust
SHOPPERS = 100_000
LIMIT_S = 600.0


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="intentflow-bench-") as name, kafka.Kafka() as broker:
        folder = Path(name)
        warmed = warm(broker, folder)
        settings = deploy(broker.bootstrap, folder)
        workload = Workload(SHOPPERS, options.events)
        say(f"producing {workload.events:,} events of {workload.shoppers:,} shoppers")
        produced = produce(settings, workload)
        ours = measure_worker(settings, workload, broker.pid, folder)
        theirs = measure_peer(settings, broker.pid, folder, options.peer_seconds)
    figures: dict[str, Any] = {
        "workload": {
            "events": workload.events,
            "shoppers": workload.shoppers,
            "partitions": settings.partitions,
            "release": "2x64 LSTM, ring of 50, 300 categories, random weights",
            "produced_per_s": workload.events / produced,
            "seconds_until_the_broker_was_compiled": warmed,
        },
        **ours,
        "plain_faust": theirs,
    }
    ratio = ours["worker"]["events_per_s"] / theirs["events_per_s"]
    bars = [
        report.at_least("events/s, exactly once, over plain Faust at least once", ratio, RATIO),
        report.at_most("worker memory, MiB", ours["memory_mib"]["peak"], round(bound_mib(settings)["total"])),
    ]
    return report.finish("pipeline", figures, bars, {"kafka": kafka.VERSION}, report.trial())


def measure_worker(settings: Settings, workload: Workload, broker_pid: int, folder: Path) -> dict[str, Any]:
    """Figures of one worker at saturation."""
    say("the worker takes the backlog")
    with Worker(settings, folder) as worker:
        samples = follow(worker, broker_pid, lambda sample: sample.committed >= workload.events, LIMIT_S)
        figures = saturation(samples, workload.events)
        figures["worker"]["guarantee"] = settings.guarantee.replace("_", " ")
        parts = {name: round(value) for name, value in bound_mib(settings).items()}
        figures["memory_mib"] = {"peak": worker.memory_mib("VmHWM"), "bound": parts}
    return figures


def measure_peer(settings: Settings, broker_pid: int, folder: Path, seconds: float) -> dict[str, Any]:
    """Figures of plain Faust over `seconds` from its first commit on."""
    say(f"plain Faust for {seconds:.0f} s")
    first: list[float] = []

    def over(sample: Sample) -> bool:
        if sample.committed and not first:
            first.append(sample.at)
        return bool(first) and sample.at > first[0] + seconds

    module = ["-m", plain_faust.__name__]
    with Running("plain Faust", module, settings, plain_faust.GROUP, folder) as peer:
        samples = follow(peer, broker_pid, over, LIMIT_S)
        moved = changes(samples)
        # A Faust agent that fails at every event commits them all the same: what it published has to be there.
        progress = Committed(settings, plain_faust.GROUP)
        if len(moved) < 2 or progress.written(plain_faust.PREDICTIONS) < moved[-1].committed:
            raise RuntimeError(f"plain Faust did not do its work:\n{peer.tail()}")
        progress.close()
        return rates(moved[0], moved[-1]) | {"guarantee": "at least once"}


def _options() -> argparse.Namespace:
    short = report.fast()
    parser = argparse.ArgumentParser(prog="python -m bench.pipeline")
    parser.add_argument("--events", type=int, default=400_000 if short else 1_500_000, help="in the backlog")
    parser.add_argument(
        "--seconds", dest="peer_seconds", type=float, default=15 if short else 60, help="of plain Faust"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
