"""The programs under measurement, as child processes: their start, their CPU time, their memory, their progress."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
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
START_S = 300.0  # a store of millions of rows may have to be read first
TICK_S = 0.25
MIB = 1 << 20

Figures = dict[str, float]


class Running:
    """A child process that consumes behavior-events as group `group`. A context manager; ends it with SIGTERM."""

    def __init__(self, name: str, arguments: list[str], settings: Settings, group: str, folder: Path) -> None:
        self.settings, self.group = settings, group
        log = folder / f"{name.replace(' ', '-')}-{group}.log"
        self._child = Child(name, [sys.executable, *arguments], log, environment(settings))

    @property
    def pid(self) -> int:
        return self._child.pid

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        return cpu_seconds(self.pid)

    def memory_mib(self, which: str) -> float:
        """VmRSS (now) or VmHWM (the most so far)."""
        return memory_mib(self.pid, which)

    def metrics(self) -> Figures:
        """Counters by name; none, if the program has no page for them."""
        return {}

    def launch(self) -> None:
        """Start it, and do not wait until it is ready."""
        self._child.start(lambda: True, START_S)

    def kill(self) -> None:
        """kill -9."""
        self._child.kill()

    def ready(self) -> bool:
        return True

    def check(self) -> None:
        """Raises RuntimeError with the end of its log when it has ended."""
        if not self._child.running:
            raise RuntimeError(f"{self._child.name} ended:\n{self._child.tail()}")

    def tail(self) -> str:
        return self._child.tail()

    @contextlib.contextmanager
    def launched(self) -> Iterator[Self]:
        """Start it without waiting until it is ready; it is ended at the end of the block."""
        self.launch()
        try:
            yield self
        finally:
            self._child.stop()

    def __enter__(self) -> Self:
        self._child.start(self.ready, START_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._child.stop()


class Worker(Running):
    """The worker, as `intentflow worker` starts it; `partitions`: how many are to be its own, all by default."""

    def __init__(
        self, settings: Settings, folder: Path, partitions: int | None = None, name: str = "the worker"
    ) -> None:
        settings = settings.model_copy(update={"metrics_port": free_ports(1)[0]})
        super().__init__(name, ["-c", WORKER], settings, settings.app_id, folder)
        self._share = settings.partitions if partitions is None else partitions

    def ready(self) -> bool:
        """Its partitions are open."""
        states = self.states().values()
        return len(states) == self._share and "opening" not in states

    def states(self) -> dict[int, str]:
        """State of each of its partitions by number; nothing while it does not answer."""
        page = self._get("/health")
        found = json.loads(page)["partitions"] if page else {}
        return {int(number): str(partition["state"]) for number, partition in found.items()}

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
        except urllib.error.HTTPError as refusal:  # 503 of /health has the page all the same
            return refusal.read().decode()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return ""


class Fleet:
    """Several workers of one group as one program; each has a data folder of its own. A context manager."""

    def __init__(self, settings: Settings, folder: Path, count: int) -> None:
        self.settings, self.group = settings, settings.app_id
        if settings.partitions % count:
            raise ValueError(f"{settings.partitions} partitions are not shared evenly by {count} workers")
        self.workers = [
            Worker(
                settings.model_copy(update={"data_dir": f"{settings.data_dir}-{number}"}),
                folder,
                settings.partitions // count,
                f"worker {number}",
            )
            for number in range(count)
        ]
        self._stack = contextlib.ExitStack()

    def check(self) -> None:
        for worker in self.workers:
            worker.check()

    def cpu_seconds(self) -> float:
        return sum(worker.cpu_seconds() for worker in self.workers)

    def memory_mib(self, which: str) -> float:
        """Of the largest of them."""
        return max(worker.memory_mib(which) for worker in self.workers)

    def metrics(self) -> Figures:
        total: Figures = {}
        for worker in self.workers:
            for name, value in worker.metrics().items():
                total[name] = total.get(name, 0.0) + value
        return total

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Standing still for the block, which must be shorter than the session timeout."""
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for worker in self.workers:
            os.kill(worker.pid, number)

    def __enter__(self) -> Self:
        try:
            for worker in self.workers:  # all at once: none has just its share before the last is there
                worker.launch()
                self._stack.push(worker)
            self._wait(time.monotonic() + START_S)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _wait(self, deadline: float) -> None:
        while not all(worker.ready() for worker in self.workers):
            self.check()
            if time.monotonic() > deadline:
                raise RuntimeError(f"not all workers were ready in time:\n{self.workers[0].tail()}")
            time.sleep(TICK_S)


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
        return sum(self.by_partition().values())

    def by_partition(self) -> dict[int, int]:
        """The same for each partition."""
        found = self._consumer.committed(self._partitions, timeout=30.0)
        return {partition.partition: max(partition.offset, 0) for partition in found}

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
    process: Running | Fleet, broker_pid: int, until: Callable[[Sample], bool], limit_s: float
) -> list[Sample]:
    """Samples of a process at work, one every 0.25 s, until `until(sample)` or `limit_s` seconds have gone by."""
    progress = Committed(process.settings, process.group)
    samples: list[Sample] = []
    end = time.monotonic() + limit_s
    try:
        while time.monotonic() < end:
            process.check()
            try:
                samples.append(sample(process, broker_pid, progress))
            except (RuntimeError, FileNotFoundError):
                process.check()  # it ended while it was looked at: its log says more
                raise
            if until(samples[-1]):
                break
            time.sleep(TICK_S)
    finally:
        progress.close()
    return samples


def sample(process: Running | Fleet, broker_pid: int, progress: Committed) -> Sample:
    """How things stand now."""
    metrics = process.metrics()
    committed = progress.total()
    return Sample(
        time.monotonic(),
        committed,
        process.cpu_seconds(),
        cpu_seconds(broker_pid),
        process.memory_mib("VmRSS"),
        metrics,
    )


def changes(samples: list[Sample]) -> list[Sample]:
    """The samples at which more was committed than at the one before: rates are taken between such moments."""
    return [after for before, after in itertools.pairwise(samples) if after.committed > before.committed]


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads of a process."""
    return _seconds(Path(f"/proc/{pid}/stat"))


def _seconds(stat: Path) -> float:
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def compiler_seconds(pid: int) -> float:
    """CPU time so far of a JVM's compiler threads: while it grows, the JVM is not yet what it will be."""
    total = 0.0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if "CompilerThre" in (thread / "comm").read_text():
                total += _seconds(thread / "stat")
    return total


def thread_seconds(pid: int) -> dict[int, float]:
    """The same for each of its threads, by number."""
    found = {}
    for folder in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # ended meanwhile
            found[int(folder.name)] = _seconds(folder / "stat")
    return found


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
