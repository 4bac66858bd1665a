"""`make bench-floor`: how near the worker comes to the work that nobody can leave out.

What is a fair floor? Not the sum of five costs: the worker has two threads that overlap, and shares two cores with the
broker, which also works for every byte. So the floor is a whole program (bench/minimal.py) with the same two threads, the
same transactions and the same broker, that does only these five: fetch the bytes, decode the Avro, one LSTM step and the
heads, read and write the rows that the worker read and wrote, send the bytes that it sent in transactions. It is told
nothing else: no shopper has a place, a ring, features or ids. It runs on the backlog that the worker took just before.

Next to that, each of the five alone in a process: the sum of their CPU is what one core would need for all in turn.
The last table says where each of the worker's other microseconds goes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bench import minimal, report
from bench.deployment import deploy
from bench.processes import Running, Sample, Worker, changes, environment, follow, say, thread_seconds
from bench.throughput import rates, saturation
from bench.warming import warm
from bench.workload import Workload, produce
from schemas.settings import Settings
from tests.brokers import kafka

BARS = {
    "100,000 shoppers": (100_000, 60.0),
    "2,000 shoppers": (2_000, 75.0),
}  # name: shoppers, % of the floor
LIMIT_S = 600.0  # of one backlog
ALONE_S = 300.0
# Stage of the worker -> the part of the floor within it, and what the rest of the stage is.
STAGES = {
    "decode": ("decode", "checks of every event, hashes of its texts, columns to numpy"),
    "rows": ("store", "the index of shoppers, rows into the matrix"),
    "step": ("step", "features, gathering and scattering state, rings"),
    "heads": ("heads", "nothing"),
    "encode": ("", "prediction ids, columns of scores, Avro"),
    "decide": ("", "consents; no policy here"),
    "checkpoint": ("", "packing the rows that go out"),
}


class Threads(NamedTuple):
    """CPU µs per event of a program's busiest thread, which computes, and of all others."""

    compute: float
    others: float


class Watch:
    """Until a backlog is committed; notes the program's CPU time by thread in its last two thirds."""

    def __init__(self, program: Running, events: int) -> None:
        self._program, self._events = program, events
        self._seen: list[tuple[int, dict[int, float]]] = []

    def __call__(self, now: Sample) -> bool:
        if self._events / 3 < now.committed < self._events:
            self._seen.append((now.committed, thread_seconds(self._program.pid)))
        return now.committed >= self._events

    def us_per_event(self) -> Threads:
        (begin, before), (end, after) = self._seen[0], self._seen[-1]
        used = sorted(seconds - before.get(thread, 0.0) for thread, seconds in after.items())
        return Threads(*(1e6 * seconds / max(end - begin, 1) for seconds in (used[-1], sum(used[:-1]))))


def main() -> int:
    options = _options()
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="intentflow-bench-") as name, kafka.Kafka() as broker:
        warm(broker, Path(name))
        for population, (shoppers, _) in BARS.items():
            say(population)
            settings = deploy(
                broker.bootstrap,
                Path(name) / str(shoppers),
                policy=False,
                app_id=f"bench-{shoppers}",
                topic_prefix=f"of-{shoppers}-",
            )
            figures[population] = measure(
                settings, Workload(shoppers, options.events), broker.pid, Path(name)
            )
    bars = [
        report.at_least(
            f"% of the floor's throughput, {population}", figures[population]["share_of_floor_%"], bar
        )
        for population, (_, bar) in BARS.items()
    ]
    return report.finish("floor", figures, bars, {"kafka": kafka.VERSION}, report.trial())


def measure(settings: Settings, workload: Workload, broker_pid: int, folder: Path) -> dict[str, Any]:
    """One population: the worker, the floor on the same topic, the floor's parts alone."""
    produce(settings, workload)
    say("the worker takes the backlog")
    with Worker(settings, folder) as worker:
        watch = Watch(worker, workload.events)
        samples = follow(worker, broker_pid, watch, LIMIT_S)
    ours = saturation(samples, workload.events) | {"threads": watch.us_per_event()}
    gets, puts = rows_per_event(samples, workload.events, settings.hot_rows)
    flags = [
        *("--shoppers", str(workload.shoppers // settings.partitions)),
        *("--gets", f"{gets:.6f}"),
        *("--puts", f"{puts:.6f}"),
    ]
    say("the floor takes it")
    floor, stages, threads = whole(settings, workload, flags, broker_pid, folder)
    say("its parts, each alone")
    parts = alone(settings, flags, folder)
    in_turn = sum(part["cpu_us"] for part in parts.values())
    return {
        "share_of_floor_%": 100 * ours["worker"]["events_per_s"] / floor["events_per_s"],
        "worker": ours["worker"],
        "floor": floor,
        "rows_read_per_event": gets,
        "rows_written_per_event": puts,
        "floor_part_alone_us_per_event": parts,
        "floor_parts_in_turn_on_one_core_events_per_s": 1e6 / in_turn,
        "us_per_event_beyond_the_floor": beyond(ours["stage_us_per_event"], stages, ours["threads"], threads),
    }


def rows_per_event(samples: list[Sample], events: int, hot_rows: int) -> tuple[float, float]:
    """Rows that the worker read and wrote per event over its run.

    Every shopper who came into memory was read once. That holds as long as none had to leave: ValueError otherwise.
    """
    last = [sample for sample in changes(samples) if sample.committed < events][-1]
    held = sum(value for name, value in last.metrics.items() if name.startswith("intentflow_hot_rows["))
    if held >= hot_rows:
        raise ValueError(f"{hot_rows:,} rows in memory are full: how many rows were read is not known")
    return held / last.committed, last.metrics.get("intentflow_rows_written_total", 0.0) / last.committed


def whole(
    settings: Settings, workload: Workload, flags: list[str], broker_pid: int, folder: Path
) -> tuple[dict[str, Any], dict[str, float], Threads]:
    """The floor as a program: its rates, µs per event of its compute thread by part, and CPU by thread."""
    told = folder / f"floor-{settings.app_id}.json"
    arguments = ["-m", minimal.__name__, "--report", str(told), *flags]
    with Running("the floor", arguments, settings, minimal.GROUP, folder) as program:
        watch = Watch(program, workload.events)
        samples = follow(program, broker_pid, watch, LIMIT_S)
    steady = [now for now in changes(samples) if workload.events / 3 < now.committed < workload.events]
    if len(steady) < 2:
        raise RuntimeError(f"the floor did not take the backlog:\n{program.tail()}")
    return rates(steady[0], steady[-1]), json.loads(told.read_text()), watch.us_per_event()


def alone(settings: Settings, flags: list[str], folder: Path) -> dict[str, dict[str, float]]:
    """Each part of the floor by itself, CPU and wall."""
    told = folder / f"parts-{settings.app_id}.json"
    command = [sys.executable, "-m", minimal.__name__, "--alone", "--report", str(told), *flags]
    done = subprocess.run(
        command,
        env=_environment(settings),
        capture_output=True,
        text=True,
        timeout=ALONE_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the floor's parts could not be measured:\n{done.stderr}")
    found: dict[str, dict[str, float]] = json.loads(told.read_text())
    return found


def beyond(
    stages: Mapping[str, float], parts: Mapping[str, float], ours: Threads, floors: Threads
) -> dict[str, dict[str, Any]]:
    """Where the worker's µs per event go, and those of the floor: each stage, and CPU outside of the stages.

    Stages are by the clock of the compute thread. What that thread's CPU time lacks to their sum, it waited: for the
    interpreter's lock or a core.
    """
    stages = {name: us for name, us in stages.items() if name != "all_compute"}
    table = {}
    for name, us in stages.items():
        part, rest = STAGES.get(name, ("", "not in the floor"))
        table[name] = _row(us, parts.get(part, 0.0), rest)
    table["compute thread, else"] = _row(
        ours.compute - sum(stages.values()),
        floors.compute - sum(parts.values()) + parts.get("produce", 0.0),
        "building record batches; less waiting within the stages",
    )
    table["other threads"] = _row(ours.others, floors.others, "fetching, Faust, transactions, metrics")
    return table


def _row(worker: float, floor: float, rest: str) -> dict[str, Any]:
    return {"worker": worker, "floor": floor, "beyond": worker - floor, "the_rest_is": rest}


def _environment(settings: Settings) -> dict[str, str]:
    return {**os.environ, **environment(settings)}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.floor")
    parser.add_argument(
        "--events", type=int, default=300_000 if report.fast() else 1_500_000, help="in each backlog"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
