"""The programs under measurement, as child processes: their start, their CPU time, their memory, their progress."""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from confluent_kafka import Consumer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from schemas.kafka import confluent_config
from schemas.settings import PREFIX, Settings
from schemas.topics import Topics
from tests.brokers.process import Child, free_ports

WORKER = "from schemas.settings import Settings; from streams.worker import run; run(Settings.load())"
START_S = 60.0
TICK_S = 0.25
MIB = 1 << 20

Figures = dict[str, float]


class Running:
    """A child process that consumes behavior-events as group `group`. A context manager; ends it with SIGTERM."""

    def __init__(self, name: str, arguments: list[str], settings: Settings, group: str, folder: Path) -> None:
        self.settings, self.group = settings, group
        self._child = Child(
            name, [sys.executable, *arguments], folder / f"{group}.log", environment(settings)
        )

    @property
    def pid(self) -> int:
        return self._child.pid

    def ready(self) -> bool:
        return True

    def check(self) -> None:
        """Raises RuntimeError with the end of its log when it has ended."""
        if not self._child.running:
            raise RuntimeError(f"{self._child.name} ended:\n{self._child.tail()}")

    def tail(self) -> str:
        return self._child.tail()

    def __enter__(self) -> Self:
        self._child.start(self.ready, START_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._child.stop()


class Worker(Running):
    """The worker, as `intentflow worker` starts it."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        settings = settings.model_copy(update={"metrics_port": free_ports(1)[0]})
        super().__init__("the worker", ["-c", WORKER], settings, settings.app_id, folder)

    def ready(self) -> bool:
        """All its partitions are open."""
        page = self._get("/health")
        states = [partition["state"] for partition in json.loads(page)["partitions"].values()] if page else []
        return len(states) == self.settings.partitions and "opening" not in states

    def metrics(self) -> Figures:
        """Its counters, labels in brackets: {"intentflow_stage_seconds_total[step]": 1.5, …}."""
        found: Figures = {}
        for family in text_string_to_metric_families(self._get("/metrics")):
            for sample in family.samples:
                labels = ",".join(sample.labels.values())
                found[f"{sample.name}[{labels}]" if labels else sample.name] = sample.value
        return found

    def _get(self, page: str) -> str:
        url = f"http://{self.settings.metrics_host}:{self.settings.metrics_port}{page}"
        try:
            with urllib.request.urlopen(url, timeout=5.0) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return ""


class Committed:
    """How far a group has committed behavior-events, asked from outside: what counts as done."""

    def __init__(self, settings: Settings, group: str) -> None:
        # read_uncommitted: with the default, librdkafka waits for open transactions before it answers.
        config = confluent_config(settings, group_id=group, isolation_level="read_uncommitted")
        self._consumer = Consumer(config)
        topic = Topics(settings).behavior_events
        self._partitions = [TopicPartition(topic, number) for number in range(settings.partitions)]

    def total(self) -> int:
        """Events committed, over all partitions."""
        found = self._consumer.committed(self._partitions, timeout=30.0)
        return sum(max(partition.offset, 0) for partition in found)

    def written(self, topic: str) -> int:
        """Records that a topic holds, over all partitions; transactions add their markers."""
        ends = [TopicPartition(topic, partition.partition) for partition in self._partitions]
        return sum(self._consumer.get_watermark_offsets(tp, timeout=30.0)[1] for tp in ends)

    def close(self) -> None:
        self._consumer.close()


@dataclass(frozen=True)
class Sample:
    """The state of things at one moment. at: monotonic seconds. cpu: seconds used so far, user and system."""

    at: float
    committed: int
    cpu: float
    broker_cpu: float
    rss_mib: float
    metrics: Figures


def follow(
    process: Running, broker_pid: int, until: Callable[[Sample], bool], limit_s: float
) -> list[Sample]:
    """Samples of a process at work, one every 0.25 s, until `until(sample)` or `limit_s` seconds have gone by."""
    progress = Committed(process.settings, process.group)
    samples: list[Sample] = []
    end = time.monotonic() + limit_s
    try:
        while time.monotonic() < end:
            process.check()
            samples.append(_sample(process, broker_pid, progress))
            if until(samples[-1]):
                break
            time.sleep(TICK_S)
    finally:
        progress.close()
    return samples


def _sample(process: Running, broker_pid: int, progress: Committed) -> Sample:
    metrics = process.metrics() if isinstance(process, Worker) else {}
    committed = progress.total()
    return Sample(
        time.monotonic(),
        committed,
        cpu_seconds(process.pid),
        cpu_seconds(broker_pid),
        memory_mib(process.pid, "VmRSS"),
        metrics,
    )


def changes(samples: list[Sample]) -> list[Sample]:
    """The samples at which more was committed than at the one before: rates are taken between such moments."""
    return [after for before, after in itertools.pairwise(samples) if after.committed > before.committed]


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mib(pid: int, which: str) -> float:
    """VmRSS (now) or VmHWM (the most so far) of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{which}:"):
            return int(line.split()[1]) * 1024 / MIB
    raise RuntimeError(f"process {pid} has no {which}: it has ended")


def environment(settings: Settings) -> dict[str, str]:
    """Environment variables that make a child load these settings."""
    plain = settings.model_dump(mode="json", exclude_defaults=True)
    return {f"{PREFIX}{name.upper()}": str(value) for name, value in plain.items()}


def say(line: str) -> None:
    """What a measurement is at, with the time and how busy the machine is: a neighbour spoils its figures."""
    print(f"{time.strftime('%H:%M:%S')} {line} (load {os.getloadavg()[0]:.1f})", flush=True)
