"""Three Apache Kafka nodes as one cluster, as context manager: each is broker and controller, one may be killed.

    with Cluster() as cluster:
        producer = Producer({"bootstrap.servers": cluster.bootstrap})
        cluster.nodes[2].kill()

Topics with replication 3 and min.insync.replicas 2 go on with two nodes; a node that is killed is fenced after about
three seconds. The nodes start in about ten seconds and take half a gigabyte each.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
from typing import Self

from tests.brokers.kafka import Kafka

NODES = 3
# Found within seconds that a node is gone: the defaults take twelve.
_QUICK = {
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "controller.quorum.fetch.timeout.ms": "1500",
    "controller.quorum.election.timeout.ms": "500",
    "replica.lag.time.max.ms": "3000",
}
_REPLICATED = {
    f"{topic}.{name}": value
    for topic in ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic")
    for name, value in (("replication.factor", "3"), ("min.isr", "2"))
}


class Cluster:
    """`nodes`, not to be measured, can be killed and started one by one. Raises Unavailable and NotStarted as Kafka does."""

    def __init__(self, properties: dict[str, str] | None = None) -> None:
        self.nodes = [Kafka(node_id=number, heap_mb=384, brief=True) for number in range(1, NODES + 1)]
        voters = ",".join(f"{node.node_id}@127.0.0.1:{node.controller_port}" for node in self.nodes)
        for node in self.nodes:
            node.cluster_id = self.nodes[0].cluster_id
            node._extra.update(
                {"controller.quorum.voters": voters, **_QUICK, **_REPLICATED, **(properties or {})}
            )

    @property
    def bootstrap(self) -> str:
        """Addresses of all nodes."""
        return ",".join(node.bootstrap for node in self.nodes)

    def leader(self) -> Kafka:
        """The node whose controller leads the cluster now."""
        node = next(node for node in self.nodes if node.running)
        told = node.tool(
            "org.apache.kafka.tools.MetadataQuorumCommand",
            f"--bootstrap-server={node.bootstrap}",
            "describe",
            "--status",
        )
        number = next(line.split(":")[1] for line in told.splitlines() if line.startswith("LeaderId"))
        return self.nodes[int(number) - 1]

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            # A node answers clients only when two are there, so all three start at once. The threads stay as long as
            # the nodes: a node ends with the thread that started it.
            threads = stack.enter_context(concurrent.futures.ThreadPoolExecutor(NODES))
            for node in self.nodes:
                stack.callback(node.close)
            for started in [threads.submit(node.start) for node in self.nodes]:
                started.result()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
