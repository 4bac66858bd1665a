"""`make bench-growth`: what an event costs, and how much memory a worker uses, as everything around it grows.

Shoppers 10^4 to 10^7 (their rows are put into RocksDB beforehand), events per shopper 1 to 10^4, partitions 1 to 64,
workers 1 to 4 on the same cores, checkpoint interval 1 to 60 s. Cost is CPU of the worker per event over a backlog's
last two thirds: it stays comparable when a machine is shared, where events per second do not.

A shopper who is not in memory costs a read and later a write, which is a step in cost and no growth. So for the first
row memory is held to 32,768 shoppers (the default is 131,072): at 10^5 two of three events are of somebody else, from
10^6 on nearly all. The bar compares 10^7 with 10^6: what one such event costs must stay flat.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import report
from bench.deployment import deploy
from bench.growth_bars import HELD_ROWS, bars
from bench.memory_bound import bound_mib
from bench.processes import Committed, Fleet, Sample, Worker, changes, follow, sample, say
from bench.seeding import fill_stores, rows
from bench.steady import Sender, timed
from bench.throughput import rates
from bench.warming import warm
from bench.workload import Workload, produce
from schemas.settings import Settings
from schemas.topics import Topics
from tests.brokers import kafka

LIMIT_S = 600.0
REDO_LIMIT_S = 300.0
DISK_SHARE = 0.5  # of what is free, at most
PAUSE_S = 120.0  # the longest that a backlog takes to produce
REGULARS = 200  # shoppers who come 10^4 times


class Growth:
    """Runs of a worker on one broker, each on topics and in folders of its own."""

    def __init__(self, broker: kafka.Kafka, folder: Path, options: argparse.Namespace) -> None:
        self.broker, self._folder, self._options, self._runs = broker, folder, options, 0

    def shoppers(self) -> dict[str, Any]:
        """So many shoppers with a full history each, on disk."""
        found: dict[str, Any] = {}
        for count in self._options.shoppers:
            say(f"{count:,} shoppers")
            with self._deployment(hot_rows=HELD_ROWS) as (settings, folder):
                seeded = self._seed(settings, folder, count)
                figures, _ = self.cost(settings, Workload(seeded, self._options.events), folder)
                store = Path(_first(settings).data_dir)
                found[f"{count:,}"] = {
                    **figures,
                    "shoppers": seeded,
                    "store_bytes_per_shopper": _bytes(store, "*") / seeded,
                    **{
                        f"{name}_bytes_per_event": size / self._options.events
                        for name, size in self._topic_bytes(settings).items()
                    },
                }
        return {"shoppers": found}

    def history(self) -> dict[str, Any]:
        """Everyone comes once; everyone comes a hundred times; a few come ten thousand times, early and late."""
        found, events = {}, self._options.events
        often = Workload(REGULARS, REGULARS * self._options.most_events)
        for name, workload in {
            "1": Workload(events, events, each_once=True),
            "100": Workload(max(events // 100, REGULARS), events),
            f"{self._options.most_events:,}": often,
        }.items():
            say(f"{name} events of each shopper")
            with self._deployment() as (settings, folder):
                found[name], samples = self.cost(settings, workload, folder)
        thirds = {
            "first_third": _between(samples, 0.1 * often.events, 0.4 * often.events),
            "last_third": _between(samples, 0.7 * often.events, often.events),
        }
        return {"events_per_shopper": found, "same_shoppers": thirds}

    def partitions(self) -> dict[str, Any]:
        """The same load on more and more partitions."""
        found = {}
        for count in self._options.partitions:
            say(f"{count} partitions")
            with self._deployment(partitions=count) as (settings, folder):
                found[str(count)], _ = self.cost(settings, Workload(100_000, self._options.events), folder)
        return {"partitions": found}

    def workers(self) -> dict[str, Any]:
        """The same load on more and more processes, which share these cores with the broker."""
        found = {}
        for count in self._options.workers:
            say(f"{count} workers")
            with self._deployment() as (settings, folder):
                workload = Workload(100_000, self._options.events)
                found[str(count)], _ = self.cost(settings, workload, folder, count)
        return {"workers": found}

    def checkpoints(self) -> dict[str, Any]:
        """A worker at a steady rate is killed -9; its successor redoes what no checkpoint covers."""
        found = {}
        for interval in self._options.intervals:
            say(f"a checkpoint every {interval} s")
            # The shortest time that the broker lets pass before a dead member's partitions are free.
            with self._deployment(checkpoint_interval_s=interval, session_timeout_s=6.0) as (
                settings,
                folder,
            ):
                found[f"{interval}_s"] = self._redo(settings, folder, interval)
        return {"checkpoint_interval": found}

    def cost(
        self, settings: Settings, workload: Workload, folder: Path, workers: int = 1
    ) -> tuple[dict[str, Any], list[Sample]]:
        """Rates and memory of workers that take a backlog, and the samples they were taken from.

        They are there before the events come: else the first worker would do the work of those that are not up yet.
        They stand still until all events are there: several keep pace with the generator, which leaves no backlog.
        """
        with Fleet(settings, folder, workers) as fleet:
            with fleet.paused():
                produce(settings, workload)
            samples = follow(fleet, self.broker.pid, lambda now: now.committed >= workload.events, LIMIT_S)
            peak = fleet.memory_mib("VmHWM")
        share = settings.model_copy(update={"partitions": settings.partitions // workers})
        bound = bound_mib(share)["total"]
        figures = _between(samples, workload.events / 3, workload.events)
        memory = {"memory_peak_mib": peak, "memory_bound_mib": bound}
        return figures | memory, samples

    def _redo(self, settings: Settings, folder: Path, interval: float) -> dict[str, Any]:
        rate, seconds = self._options.rate, 1.3 * interval + 5.0
        workload = timed(100_000, rate, seconds)
        progress = Committed(settings, settings.app_id)
        with Worker(settings, folder) as worker, Sender(settings, workload, rate) as sender:
            sender.start()
            time.sleep(seconds - interval)
            first = sample(worker, self.broker.pid, progress)
            sender.wait(seconds)
            last = sample(worker, self.broker.pid, progress)
            worker.kill()
        progress.close()
        written = last.metrics.get("intentflow_rows_written_total", 0.0) - first.metrics.get(
            "intentflow_rows_written_total", 0.0
        )
        with Worker(settings, folder).launched() as after:
            redone, took = _until_live(after)
        return {
            "rate_per_s": rate,
            "cpu_us_per_event": (last.cpu - first.cpu) / max(last.committed - first.committed, 1) * 1e6,
            "rows_written_per_s": written / (last.at - first.at),
            "redone_events": redone,
            "redo_s": took,
        }

    def _seed(self, settings: Settings, folder: Path, wanted: int) -> int:
        """Rows of so many shoppers, or of as many as the disk takes, in the worker's own stores."""
        with Fleet(settings, folder, 1):
            pass  # it makes its stores
        values = rows(settings)
        room = int(shutil.disk_usage(folder).free * DISK_SHARE / len(values[0]))
        if room < wanted:
            say(f"the disk has room for {room:,} shoppers only")
        fill_stores(_first(settings), min(wanted, room), values)
        return min(wanted, room)

    def _topic_bytes(self, settings: Settings) -> dict[str, int]:
        """Bytes in the broker's log, compressed as they travel."""
        topics, data = Topics(settings), self.broker.folder / "data"
        names = {
            "events": topics.behavior_events,
            "predictions": topics.predictions,
            "changelog": topics.sequences_changelog,
        }
        return {
            name: sum(_bytes(folder, "*.log") for folder in data.glob(f"{topic}-*"))
            for name, topic in names.items()
        }

    def _deployment(self, **settings: Any) -> _Deployment:
        self._runs += 1
        return _Deployment(self.broker, self._folder / str(self._runs), self._runs, settings)


class _Deployment:
    """Topics and folders of one run; the folders go with it. A context manager."""

    def __init__(self, broker: kafka.Kafka, folder: Path, number: int, settings: dict[str, Any]) -> None:
        self._broker, self._folder, self._number, self._settings = broker, folder, number, settings

    def __enter__(self) -> tuple[Settings, Path]:
        name = f"growth-{self._number}"
        settings = deploy(
            self._broker.bootstrap,
            self._folder,
            app_id=name,
            topic_prefix=f"{name}-",
            policy=False,
            **{"session_timeout_s": PAUSE_S, **self._settings},
        )
        return settings, self._folder

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="intentflow-bench-") as name, kafka.Kafka() as broker:
        warm(broker, Path(name))
        growth = Growth(broker, Path(name), options)
        every = [growth.shoppers, growth.history, growth.partitions, growth.workers, growth.checkpoints]
        wanted = os.environ.get("ROWS", "").split()
        before, failed, rest = kept(wanted) if wanted else ({}, {}, "")
        found, errors = each(*(row for row in every if not wanted or row.__name__ in wanted))
    figures, errors = before | found, failed | errors
    made = bars(figures, options)
    figures |= {f"all_but_{'_'.join(wanted)}": rest} if wanted else {}
    figures |= {"errors": errors} if errors else {}
    status = report.finish("growth", figures, made, {"kafka": kafka.VERSION}, report.trial())
    return 1 if errors else status


def kept(wanted: list[str]) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Figures of the run before, and what went wrong with the rows that are not wanted now; when that was."""
    before = report.read(report.RESULTS / "growth.json")
    figures = {row: group for row, group in before.figures.items() if isinstance(group, dict)}
    failed = {row: problem for row, problem in figures.pop("errors", {}).items() if row not in wanted}
    rest = f"measured at {before.measured_at} at commit {before.commit[:12]}"
    return figures, failed, rest


def each(*rows: Callable[[], dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Figures of all rows, and what went wrong by row: one that fails leaves those of the others."""
    figures: dict[str, Any] = {}
    errors: dict[str, Any] = {}
    for row in rows:
        try:
            figures |= row()
        except Exception as problem:
            traceback.print_exc()
            errors[row.__name__] = f"{type(problem).__name__}: {problem}".splitlines()[0]
    return figures, errors


def _first(settings: Settings) -> Settings:
    """Settings of the first worker of a fleet."""
    return Fleet(settings, Path(), 1).workers[0].settings


def _between(samples: list[Sample], low: float, high: float) -> dict[str, Any]:
    """Rates between the first and the last commit in that stretch of the backlog."""
    within = [now for now in changes(samples) if low <= now.committed < high]
    if len(within) < 2:
        raise RuntimeError("the backlog is too small to measure: more --events")
    return rates(within[0], within[-1])


def _until_live(worker: Worker) -> tuple[int, float]:
    """Events redone, and seconds from when the last partition was open until all were live."""
    deadline, opened = time.monotonic() + REDO_LIMIT_S, 0.0
    while time.monotonic() < deadline:
        worker.check()
        states = set(worker.states().values())
        now = time.monotonic()
        if worker.ready() and not opened:
            opened = now
        if states == {"live"} and opened:
            redone = sum(
                value
                for name, value in worker.metrics().items()
                if name.startswith("intentflow_redone_total[")
            )
            return int(redone), now - opened
        time.sleep(0.05)
    raise RuntimeError(f"redo took longer than {REDO_LIMIT_S:g} s:\n{worker.tail()}")


def _bytes(folder: Path, pattern: str) -> int:
    return sum(path.stat().st_size for path in folder.rglob(pattern) if path.is_file())


def _options() -> argparse.Namespace:
    short = report.fast()
    parser = argparse.ArgumentParser(prog="python -m bench.growth")
    parser.add_argument("--events", type=int, default=150_000 if short else 400_000, help="in a backlog")
    parser.add_argument(
        "--shoppers",
        type=int,
        nargs="+",
        default=[10_000, 350_000, 400_000] if short else [10**4, 10**5, 10**6, 10**7],
    )
    parser.add_argument("--most-events", type=int, default=1_000 if short else 10_000, help="of a shopper")
    parser.add_argument("--partitions", type=int, nargs="+", default=[1, 8] if short else [1, 64])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2] if short else [1, 4])
    parser.add_argument(
        "--intervals", type=float, nargs="+", default=[1, 3] if short else [1, 10, 60], help="s"
    )
    parser.add_argument("--rate", type=int, default=2_000 if short else 10_000, help="events/s before a kill")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
