"""The peers: how each is built and started. `python -m bench.peers` measures them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.peers.environments import flink_jars, kafka_streams_jars, python_environment, python_path
from bench.processes import Committed, Running
from schemas.settings import Settings
from tests.brokers.maven import program
from tests.brokers.process import Child

HEAP = "-Xmx1536m"
EXACTLY_ONCE, AT_LEAST_ONCE = "exactly once", "at least once"
CACHE_MIB = 256  # of Kafka Streams: room for the rows of 100,000 shoppers, as the worker has it

Command = Callable[[str], list[str]]  # job file -> command line


@dataclass(frozen=True)
class Peer:
    """A program that does the worker's job.

    prepare: builds what it runs in and returns its command; raises tests.brokers.Unavailable.
    in_jvm: the work is done by a Java process that it starts.
    """

    name: str
    guarantee: str
    prepare: Callable[[], Command]
    in_jvm: bool = False


def _own_python(module: str) -> Callable[[], Command]:
    return lambda: lambda job: [sys.executable, "-m", f"bench.peers.{module}", job]


def _python(name: str, module: str) -> Callable[[], Command]:
    def prepare() -> Command:
        interpreter = str(python_environment(name))
        return lambda job: [interpreter, "-m", f"bench.peers.{module}", job]

    return prepare


def _kafka_streams(guarantee: str, cache_mib: int) -> Callable[[], Command]:
    def prepare() -> Command:
        java, classes = program("java"), f"{kafka_streams_jars()}/*"
        return lambda job: [
            java,
            HEAP,
            "-XX:+UseParallelGC",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-cp",
            classes,
            "intentflow.peer.Main",
            job,
            guarantee,
            str(cache_mib),
        ]

    return prepare


def _pyflink() -> Command:
    interpreter, connector = str(python_environment("pyflink")), str(flink_jars())
    return lambda job: [interpreter, "-m", "bench.peers.with_pyflink", job, connector]


PEERS = (
    Peer("plain_faust", AT_LEAST_ONCE, _own_python("plain_faust")),
    Peer("kafka_streams", EXACTLY_ONCE, _kafka_streams("exactly_once_v2", 0)),
    Peer("kafka_streams_cached", EXACTLY_ONCE, _kafka_streams("exactly_once_v2", CACHE_MIB)),
    Peer("quix", AT_LEAST_ONCE, _python("quix", "with_quix")),
    Peer("kafka_streams_alo", AT_LEAST_ONCE, _kafka_streams("at_least_once", 0)),
    Peer("kafka_streams_alo_cached", AT_LEAST_ONCE, _kafka_streams("at_least_once", CACHE_MIB)),
    Peer("bytewax", AT_LEAST_ONCE, _python("bytewax", "with_bytewax")),
    Peer("pyflink", AT_LEAST_ONCE, _pyflink, in_jvm=True),
)


class Program(Running):
    """A peer at work."""

    def __init__(self, peer: Peer, command: list[str], settings: Settings, group: str, folder: Path) -> None:
        self.settings, self.group, self.peer = settings, group, peer
        self._child = Child(peer.name, command, folder / f"{group}.log", python_path())

    @property
    def pid(self) -> int:
        """The process that does the work."""
        own = self._child.pid
        return (_java_child(own) or own) if self.peer.in_jvm else own

    def progress(self, predictions: str) -> Committed:
        """What tells how far it is, in events.

        Exactly once, what is committed counts. At least once a program commits every few seconds, each of its tasks at
        its own time, or not at all: what it wrote is the smoother clock, and to its favour.
        """
        if self.peer.guarantee == EXACTLY_ONCE:
            return Committed(self.settings, self.group)
        return Written(self.settings, self.group, predictions)


class Written(Committed):
    """Progress as the predictions that a program wrote."""

    def __init__(self, settings: Settings, group: str, topic: str) -> None:
        super().__init__(settings, f"{group}-watch")
        self._topic = topic

    def total(self) -> int:
        return self.written(self._topic)


def _java_child(pid: int) -> int | None:
    """The Java process below `pid`, if there is one yet."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            if Path(f"/proc/{child}/comm").read_text().strip() == "java":
                return child
            found = _java_child(child)
            if found:
                return found
    return None
