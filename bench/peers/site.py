"""What peers work on: a deployment without a policy and with a backlog of events; topics come and go with each run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from bench.deployment import deploy
from bench.workload import Workload, produce
from schemas import topics
from schemas.kafka import confluent_config
from schemas.settings import Settings
from tests.brokers.kafka import Kafka

ANSWER_S = 30.0


class Site:
    """One population's topics, with all of its events on them."""

    def __init__(self, broker: Kafka, folder: Path, name: str, workload: Workload) -> None:
        self.name, self.workload, self.broker_pid = name, workload, broker.pid
        self.settings = deploy(broker.bootstrap, folder / name, policy=False, topic_prefix=f"{name}-")
        self._admin = AdminClient(confluent_config(self.settings))
        produce(self.settings, workload)

    def create(self, topic: str) -> None:
        """A topic as `predictions` is, for a peer's own."""
        wanted = NewTopic(topic, self.settings.partitions, self.settings.replication_factor)
        self._admin.create_topics([wanted])[topic].result(timeout=ANSWER_S)
        self._wait(lambda: self._led(topic), f"the broker does not lead {topic}, which it made")

    def remove(self, group: str) -> None:
        """Everything that a peer keeps on the broker: topics named after its group."""
        self._delete(name for name in self._names() if group in name)

    def renew(self) -> None:
        """Outputs and changelogs of the worker are made anew and empty, for a worker that starts from nothing."""
        names = topics.Topics(self.settings)
        self._delete([names.predictions, names.sequences_changelog, names.contacts_changelog])
        topics.create(self.settings)

    def worker(self, folder: Path, app_id: str, guarantee: str) -> Settings:
        """Settings of a worker that starts from nothing."""
        return self.settings.model_copy(
            update={"app_id": app_id, "guarantee": guarantee, "data_dir": str(folder / app_id)}
        )

    def _delete(self, names: Iterable[str]) -> None:
        doomed = list(names)
        for answer in (self._admin.delete_topics(doomed) if doomed else {}).values():
            answer.result(timeout=ANSWER_S)
        self._wait(
            lambda: not set(doomed) & self._names(), f"the broker still has {doomed}, which were deleted"
        )

    def _led(self, topic: str) -> bool:
        """Whether the broker answers for every partition."""
        asked = {TopicPartition(topic, at): OffsetSpec.latest() for at in range(self.settings.partitions)}
        try:
            for answer in self._admin.list_offsets(asked).values():
                answer.result(timeout=ANSWER_S)
        except KafkaException:
            return False
        return True

    @staticmethod
    def _wait(done: Callable[[], bool], problem: str) -> None:
        end = time.monotonic() + ANSWER_S
        while not done():
            if time.monotonic() > end:
                raise RuntimeError(problem)
            time.sleep(0.1)

    def _names(self) -> set[str]:
        return set(self._admin.list_topics(timeout=ANSWER_S).topics)
