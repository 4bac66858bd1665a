"""`make bench-soak`: five million events through one worker; memory and open files must stay where they were.

Events come in slices. When one is committed, what lies before it is deleted from the broker, so that the disk holds two
slices however long the run is; shoppers stay the same, and a third of them at a time does not fit into memory, so that
rows come and go all along. Resident and anonymous memory (the heaps of Python and of the libraries) and open files are
read from /proc. Bars are on the second half: by then every row is used and every cache is full.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from confluent_kafka import OFFSET_END, TopicPartition
from confluent_kafka.admin import AdminClient

from bench import report
from bench.deployment import deploy
from bench.processes import MIB, Committed, Worker, memory_mib, say
from bench.workload import Workload, produce
from schemas.kafka import confluent_config
from schemas.settings import Settings
from schemas.topics import Topics
from tests.brokers import kafka

EVENTS_PER_SHOPPER = 100
FULL_SHOPPERS = 50_000
HOT_SHARE = 0.65  # of the shoppers; the rows of the others are in RocksDB
TICK_S = 0.5
LIMIT_S = 600.0  # for one slice
GROWTH_MIB = 10.0  # over the second half, or
GROWTH_SHARE = 0.02  # of the memory in use per million events, if that is more
FILES = 8
BROKER = {
    "log.segment.bytes": str(64 * MIB),  # what is deleted goes by segments
    "log.segment.delete.delay.ms": "1000",
    "log.cleaner.backoff.ms": "2000",
}


@dataclass(frozen=True)
class Look:
    """The worker at one moment. Memory in MiB; `files` are those open but for RocksDB's own, which are `store_files`."""

    committed: int
    rss: float
    anonymous: float
    data: float
    files: int
    store_files: int


def main() -> int:
    options = _options()
    shoppers = max(options.events // EVENTS_PER_SHOPPER, 1_000)
    with (
        tempfile.TemporaryDirectory(prefix="intentflow-bench-") as name,
        kafka.Kafka(properties=BROKER) as broker,
    ):
        folder = Path(name)
        settings = deploy(broker.bootstrap, folder, **_rows(shoppers))
        with Worker(settings, folder) as worker:
            looks, disk = soak(worker, shoppers, options.events, options.slices, broker.folder)
        figures = summary(settings, shoppers, looks) | {"broker_disk_mib": disk}
    return report.finish("soak", figures, bars(settings, looks), {"kafka": kafka.VERSION}, report.trial())


def soak(
    worker: Worker, shoppers: int, events: int, slices: int, broker: Path
) -> tuple[list[Look], dict[str, float]]:
    """Looks at the worker all along, and the broker's disk, MiB, after each slice."""
    settings, size = worker.settings, events // slices
    days, now = 30.0 / slices, int(time.time() * 1000)
    progress = Committed(settings, worker.group)
    looks: list[Look] = []
    disk: dict[str, float] = {}
    try:
        for part in range(slices):
            end = now - round((slices - 1 - part) * days * 86_400_000)
            produce(settings, Workload(shoppers, size, part, days=days, first=part * size, end=end))
            _follow(worker, lambda: _look(worker, progress), looks, (part + 1) * size)
            disk[f"after_{(part + 1) * size}"] = _bytes_in(broker) / MIB
            forget(settings, progress.by_partition())
            say(f"{looks[-1].committed:,} events, {looks[-1].rss:,.0f} MiB, {looks[-1].files} files open")
    finally:
        progress.close()
    return looks, disk


def forget(settings: Settings, committed: dict[int, int]) -> None:
    """Delete from the broker what is done: events before the committed offsets, and all outputs."""
    topics = Topics(settings)
    outputs = (topics.predictions, topics.decisions, topics.interventions)
    gone = [TopicPartition(topics.behavior_events, number, offset) for number, offset in committed.items()]
    gone += [TopicPartition(topic, number, OFFSET_END) for topic in outputs for number in committed]
    admin = AdminClient(confluent_config(settings))  # has to live until the answers are there
    for answer in admin.delete_records(gone).values():
        answer.result(timeout=60.0)


def summary(settings: Settings, shoppers: int, looks: list[Look]) -> dict[str, Any]:
    """The whole run by tenths, and the slopes of its second half."""
    last, settled = looks[-1], second_half(looks)
    tenths = [next(look for look in looks if look.committed >= last.committed * n / 10) for n in range(1, 11)]
    return {
        "events": last.committed,
        "shoppers": shoppers,
        "hot_rows": settings.hot_rows,
        "rss_mib": {f"at_{n}0%": look.rss for n, look in enumerate(tenths, 1)},
        "anonymous_mib": {f"at_{n}0%": look.anonymous for n, look in enumerate(tenths, 1)},
        "data_segments_mib": {"half": settled[0].data, "end": last.data},
        "store_files": {"half": settled[0].store_files, "end": last.store_files},
        "mib_per_million_events": {"rss": slope(settled, "rss"), "anonymous": slope(settled, "anonymous")},
    }


def bars(settings: Settings, looks: list[Look]) -> list[report.Bar]:
    settled = second_half(looks)
    files = [look.files for look in settled]
    millions = (settled[-1].committed - settled[0].committed) / 1e6

    def growth(name: str, what: str) -> report.Bar:
        most = max(GROWTH_MIB, GROWTH_SHARE * millions * getattr(settled[0], name))
        grown = slope(settled, name) * millions
        return report.at_most(f"growth of {what} memory over {millions:.1f} million events, MiB", grown, most)

    return [
        growth("rss", "resident"),
        growth("anonymous", "anonymous"),
        report.at_most("open files but RocksDB's, most - least", max(files) - min(files), FILES),
        report.at_most(
            "open files of RocksDB", max(look.store_files for look in settled), 256 * settings.partitions
        ),
    ]


def second_half(looks: list[Look]) -> list[Look]:
    return [look for look in looks if look.committed >= looks[-1].committed / 2]


def slope(looks: list[Look], name: str) -> float:
    """Growth by least squares, per million events."""
    done = np.array([look.committed for look in looks]) / 1e6
    return float(np.polyfit(done, [getattr(look, name) for look in looks], 1)[0])


def _follow(worker: Worker, look: Callable[[], Look], looks: list[Look], until: int) -> None:
    end = time.monotonic() + LIMIT_S
    while not looks or looks[-1].committed < until:
        if time.monotonic() > end:
            raise RuntimeError(f"{until:,} events were not committed within {LIMIT_S:g} s:\n{worker.tail()}")
        time.sleep(TICK_S)
        worker.check()
        looks.append(look())


def _look(worker: Worker, progress: Committed) -> Look:
    pid, store = worker.pid, os.path.realpath(worker.settings.data_dir)
    paths = [_target(path) for path in Path(f"/proc/{pid}/fd").iterdir()]
    of_store = sum(path.startswith(store) for path in paths)
    memory = [memory_mib(pid, name) for name in ("VmRSS", "RssAnon", "VmData")]
    return Look(progress.total(), *memory, len(paths) - of_store, of_store)


def _target(descriptor: Path) -> str:
    try:
        return os.readlink(descriptor)
    except FileNotFoundError:  # closed since it was listed
        return ""


def _bytes_in(folder: Path) -> int:
    sizes = 0
    for path in folder.rglob("*"):
        try:
            sizes += path.stat().st_size
        except FileNotFoundError:  # the broker deletes its segments meanwhile
            continue
    return sizes


def _rows(shoppers: int) -> dict[str, int]:
    """Settings under which some of the shoppers do not fit into memory; a partition holds two batches at least.

    With few shoppers RocksDB's write buffers are small as well: they have to be full before memory can be flat.
    """
    hot = round(shoppers * HOT_SHARE)
    buffer = int(Settings.model_fields["write_buffer_bytes"].default)
    return {
        "hot_rows": hot,
        "batch_records": max(64, min(4096, hot // 8)),
        "write_buffer_bytes": min(buffer, max(MIB, buffer * shoppers // FULL_SHOPPERS)),
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.soak")
    parser.add_argument("--events", type=int, default=400_000 if report.fast() else 5_000_000)
    parser.add_argument("--slices", type=int, default=4 if report.fast() else 10)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
