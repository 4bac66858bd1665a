"""`make bench`: one worker on a real Kafka, exactly once, beside plain Faust doing the same job on the same events.

1. A backlog is produced; the worker takes it as fast as it can. Rates are taken after its first checkpoint interval,
   from the offsets that its transactions committed; stage times from its own counters over the same stretch.
2. Events come at a quarter and at half of that rate; latency is from when each was due to be sent to when a
   read_committed consumer had its prediction or intervention.
3. The worker ends; plain Faust takes the same topic from its start.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import latency, report
from bench.deployment import deploy
from bench.memory_bound import bound_mib
from bench.peers import plain_faust
from bench.processes import Committed, Running, Sample, Worker, changes, follow, memory_mib, say
from bench.workload import Workload, produce
from schemas.settings import Settings
from tests.brokers import kafka

RATIO = 20.0  # against plain Faust
SHOPPERS = 100_000
LOADS = (0.25, 0.5)
LIMIT_S = 600.0


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="intentflow-bench-") as name, kafka.Kafka() as broker:
        folder = Path(name)
        settings = deploy(broker.bootstrap, folder)
        workload = Workload(SHOPPERS, options.events)
        say(f"producing {workload.events:,} events of {workload.shoppers:,} shoppers")
        produced = produce(settings, workload)
        ours = measure_worker(settings, workload, broker.pid, folder, options.latency_seconds)
        theirs = measure_peer(settings, broker.pid, folder, options.peer_seconds)
    figures: dict[str, Any] = {
        "workload": {
            "events": workload.events,
            "shoppers": workload.shoppers,
            "partitions": settings.partitions,
            "release": "2x64 LSTM, ring of 50, 300 categories, random weights",
            "produced_per_s": workload.events / produced,
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


def measure_worker(
    settings: Settings, workload: Workload, broker_pid: int, folder: Path, latency_s: float
) -> dict[str, Any]:
    """Figures of one worker: at saturation, then at fixed rates."""
    say("the worker takes the backlog")
    with Worker(settings, folder) as worker:
        samples = follow(worker, broker_pid, lambda sample: sample.committed >= workload.events, LIMIT_S)
        figures = saturation(samples, workload.events)
        figures["latency"] = {}
        for load in LOADS if latency_s else ():
            rate = round(figures["worker"]["events_per_s"] * load, -2)
            say(f"latency at {rate:,.0f} events/s")
            figures["latency"][f"at_{load:.0%}"] = latency.measure(
                worker.settings, _timed(workload, rate, latency_s), rate
            )
        parts = {name: round(value) for name, value in bound_mib(settings).items()}
        figures["memory_mib"] = {"peak": memory_mib(worker.pid, "VmHWM"), "bound": parts}
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
    predictions = _delta(first, last, "intentflow_predictions_total")[""]
    if predictions < 0.95 * (
        last.committed - first.committed
    ):  # counters and offsets are read one after the other
        raise RuntimeError(
            f"{last.committed - first.committed:,} events committed, {predictions:,.0f} predictions"
        )
    per_event = 1e6 / (last.committed - first.committed)
    stages = _delta(first, last, "intentflow_stage_seconds_total")
    batches = _delta(first, last, "intentflow_batch_events_count")[""]
    decided = sum(_delta(first, last, "intentflow_decisions_total").values())
    wall = last.at - first.at
    worker = rates(first, last) | {
        "guarantee": "exactly once",
        "events_per_batch": (last.committed - first.committed) / max(batches, 1),
        "decisions_per_100_events": 100 * decided / (last.committed - first.committed),
        "rows_checkpointed_per_s": _delta(first, last, "intentflow_rows_written_total")[""] / wall,
    }
    compute = {name: seconds * per_event for name, seconds in stages.items()}
    commit = _delta(first, last, "intentflow_commit_seconds_total")[""]
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


def _delta(first: Sample, last: Sample, counter: str) -> Mapping[str, float]:
    """Growth of a counter by its labels ("" for none)."""
    found = {"": 0.0} if counter in last.metrics or not last.metrics else {}
    for name, value in last.metrics.items():
        family, _, labels = name.partition("[")
        if family == counter:
            found[labels.rstrip("]")] = value - first.metrics.get(name, 0.0)
    return found


def _timed(workload: Workload, rate: float, seconds: float) -> Workload:
    """The next events of the same shoppers, at the times when they will be sent."""
    now = int(time.time() * 1000)
    return Workload(
        workload.shoppers,
        int(rate * seconds),
        seed=now % 100_000,
        days=seconds / 86_400,
        first=now,
        end=now + int(seconds * 1000),
    )


def _options() -> argparse.Namespace:
    short = report.fast()
    parser = argparse.ArgumentParser(prog="python -m bench.pipeline")
    parser.add_argument("--events", type=int, default=400_000 if short else 1_500_000, help="in the backlog")
    parser.add_argument(
        "--seconds", dest="peer_seconds", type=float, default=15 if short else 60, help="of plain Faust"
    )
    parser.add_argument(
        "--latency-seconds", type=float, default=5 if short else 20, help="at each rate; 0 = no latency"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
