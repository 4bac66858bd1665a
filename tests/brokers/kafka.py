"""One Apache Kafka node in KRaft mode (broker and controller), as a context manager:

    with Kafka() as broker:
        producer = Producer({"bootstrap.servers": broker.bootstrap})

Its jars are resolved by Maven into the cache folder (about 25 s, 55 MB, once); a node is up in about 5 s.
"""

import base64
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.brokers import NotStarted, Unavailable
from tests.brokers.maven import jars, program
from tests.brokers.process import Child, answers, free_ports

VERSION = "4.1.1"
START_S = 60.0

ClientConfig = dict[str, str | int | float | bool]

_COORDINATES = (
    f"org.apache.kafka:kafka_2.13:{VERSION}",
    f"org.apache.kafka:kafka-tools:{VERSION}",
    "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3",  # Kafka 4 speaks slf4j 1.7: not the slf4j2 binding
    "org.apache.logging.log4j:log4j-core:2.24.3",
)
_BRIEF = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")  # starts with 60 % of the work; slow in the long run
_LOGGING = """rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{HH:mm:ss.SSS} %-5p %c{1} %m%n
"""


def kafka_jars() -> Path:
    """The folder of the broker's and the console tools' jars, resolved on first use."""
    program("java")
    return jars(f"kafka-{VERSION}", _COORDINATES)


class Kafka:
    """A single node with a data folder of its own.

    `properties` add to or override server.properties (what a node of a larger cluster needs goes in here); `heap_mb` is
    the Java heap; `brief`: a node that lives for minutes and is not measured. `stop`, `kill` and `start` keep the data
    and the address; leaving the context removes the data. Raises Unavailable without Java or Maven, NotStarted with the
    log's tail when the node does not come up.
    """

    def __init__(
        self,
        *,
        node_id: int = 1,
        heap_mb: int = 512,
        properties: Mapping[str, str] | None = None,
        brief: bool = False,
    ) -> None:
        self.node_id, self.heap_mb, self.brief = node_id, heap_mb, brief
        self.port, self.controller_port = free_ports(2)
        self.cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        self.folder = Path(tempfile.mkdtemp(prefix="intentflow-kafka-"))
        self._extra = dict(properties or {})
        self._child: Child | None = None

    @property
    def bootstrap(self) -> str:
        """The broker's address, `host:port`."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self._node.pid

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.running

    def client_config(self) -> ClientConfig:
        """librdkafka's settings of a client that may do everything."""
        return {"bootstrap.servers": self.bootstrap}

    def start(self) -> None:
        """Formats the data folder if it is new, starts the node and waits until it answers a client."""
        if self._child is None:
            self._format()
            brief = _BRIEF if self.brief else ()
            command = self._java(
                "kafka.Kafka", str(self._properties_file), heap_mb=self.heap_mb, options=brief
            )
            self._child = Child("Apache Kafka", command, self.folder / "broker.log")
        self._child.start(self._ready, START_S)

    def stop(self) -> None:
        """A clean end (SIGTERM); data and address stay."""
        self._node.stop()

    def kill(self) -> None:
        """kill -9; data and address stay."""
        self._node.kill()

    def restart(self) -> None:
        self.stop()
        self.start()

    def close(self) -> None:
        """Ends the node and removes its data."""
        if self._child is not None:
            self._child.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def tool(self, main: str, *arguments: str, timeout_s: float = 60.0) -> str:
        """The output of a tool of Apache Kafka, e.g. `tool("org.apache.kafka.tools.consumer.ConsoleConsumer", …)`."""
        done = subprocess.run(
            self._java(main, *arguments, options=_BRIEF),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            text=True,
            errors="replace",  # values are bytes to a console
            timeout=timeout_s,
        )
        if done.returncode:
            raise RuntimeError(f"{main} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def server_properties(self) -> dict[str, str]:
        """server.properties of this node."""
        return {
            "process.roles": "broker,controller",
            "node.id": str(self.node_id),
            "controller.quorum.voters": f"{self.node_id}@127.0.0.1:{self.controller_port}",
            "listeners": f"CLIENT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.controller_port}",
            "advertised.listeners": f"CLIENT://127.0.0.1:{self.port}",
            "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "CLIENT",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": str(self.folder / "data"),
            "auto.create.topics.enable": "false",  # a topic that intentflow forgot to create must show
            "group.initial.rebalance.delay.ms": "0",
            "broker.session.timeout.ms": "5000",  # a node that was killed -9 may register again after this long
            "broker.heartbeat.interval.ms": "500",
            "num.network.threads": "2",
            "num.io.threads": "4",
            "log.cleaner.dedupe.buffer.size": str(
                16 << 20
            ),  # of the heap; the default takes a quarter of ours
            **_single("offsets.topic", partitions=4),
            **_single("transaction.state.log", partitions=4),
            **_single("share.coordinator.state.topic", partitions=1),
            **self._extra,
        }

    def _format_arguments(self) -> list[str]:
        return []

    def _ready(self) -> bool:
        if not answers(self.port):
            return False
        try:
            admin = AdminClient({**self.client_config(), "log_level": 0})
            return bool(admin.list_topics(timeout=2.0).brokers)
        except KafkaException:
            return False

    def _format(self) -> None:
        lines = (f"{key}={value}\n" for key, value in self.server_properties().items())
        self._properties_file.write_text("".join(lines))
        (self.folder / "log4j2.properties").write_text(_LOGGING)
        where = (f"--cluster-id={self.cluster_id}", f"--config={self._properties_file}")
        try:
            self.tool("kafka.tools.StorageTool", "format", *where, *self._format_arguments())
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            raise NotStarted(f"Kafka's data folder could not be formatted: {error}") from error

    def _java(self, main: str, *arguments: str, heap_mb: int = 128, options: Sequence[str] = ()) -> list[str]:
        logging = f"-Dlog4j.configurationFile={self.folder / 'log4j2.properties'}"
        classes = ("-cp", f"{kafka_jars()}/*")
        return [program("java"), f"-Xmx{heap_mb}m", *options, logging, *classes, main, *arguments]

    @property
    def _properties_file(self) -> Path:
        return self.folder / "server.properties"

    @property
    def _node(self) -> Child:
        if self._child is None:
            raise NotStarted("this Kafka node was never started")
        return self._child


def _single(topic: str, partitions: int) -> dict[str, str]:
    """An internal topic's settings on a cluster of one node, with few partitions so that it starts soon."""
    return {
        f"{topic}.replication.factor": "1",
        f"{topic}.min.isr": "1",
        f"{topic}.num.partitions": str(partitions),
    }


__all__ = ["VERSION", "Kafka", "NotStarted", "Unavailable", "kafka_jars"]
