"""One deployment under test: its topics, release and policy, what is sent to it, and what it committed."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from models import promotion
from models.release import Release
from schemas import topics
from schemas.codec import Codec
from schemas.kafka import confluent_config
from schemas.registry import FileRegistry
from schemas.settings import Settings
from streams.policy import Policy
from tests.faults.events import Record

STEP_S = 0.05
LOOK_S = 1.0
BACKLOG = 6_000  # records that may wait for the workers
READ_S = 180.0  # long, for a busy machine


@dataclass(frozen=True)
class Raw:
    """A committed record."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


class Shop:
    """`settings` are the harness's own; `outside` is what its workers get, who may come through the proxy."""

    def __init__(self, name: str, bootstrap: str, outside: str, folder: Path, **changes: Any) -> None:
        self.folder = folder / name
        self.folder.mkdir(parents=True)
        self.settings = Settings(
            bootstrap_servers=bootstrap,
            app_id=f"faults-{name}",
            topic_prefix=f"{name}-",
            data_dir=str(self.folder / "data"),
            releases_uri=str(folder / "releases"),
            archive_uri=str(folder / "archive"),
            metrics_port=0,
            timer_clock="events",
            **changes,
        )
        self.outside = self.settings.model_copy(update={"bootstrap_servers": outside})
        self.topics = topics.Topics(self.settings)
        topics.create(self.settings)
        # read_uncommitted: with the default, librdkafka waits for open transactions before it answers
        self._watch = self._consumer(group_id=self.settings.app_id, isolation_level="read_uncommitted")

    @property
    def stores(self) -> Path:
        """Where its first worker has the store of each partition."""
        return self.folder / "data-0" / self.settings.app_id

    def open(self, release: Release, policy: Policy | None) -> None:
        """The policy goes first: the first worker to see the release has both."""
        if policy is not None:
            (value,) = Codec(FileRegistry(), "policy").encode_rows([policy.row(int(time.time() * 1000))])
            producer = Producer(confluent_config(self.settings))
            producer.produce(self.topics.policies, value=value, key=self.settings.policy_name)
            producer.flush(30)
        promotion.promote(self.settings, release)

    def producer(self) -> Producer:
        """Idempotent, so that order holds whatever happens to the broker; keys placed as all producers do."""
        return Producer(
            confluent_config(
                self.settings,
                enable_idempotence=True,
                partitioner="murmur2_random",
                linger_ms=5,
                message_timeout_ms=600_000,
                log_level=2,
            )
        )

    def send(self, records: Sequence[Record]) -> None:
        """All of it, at once. Raises RuntimeError when the broker does not take it."""
        producer = self.producer()
        for record in records:
            _produce(producer, self.topics.behavior_events, record)
        if producer.flush(120):
            raise RuntimeError("the broker did not take all events")

    def configure(self, topic: str, **entries: str) -> None:
        """Set configuration entries of a topic, with _ for `.`."""
        resource = ConfigResource(
            ResourceType.TOPIC,
            topic,
            incremental_configs=[
                ConfigEntry(name.replace("_", "."), value, incremental_operation=AlterConfigOpType.SET)
                for name, value in entries.items()
            ],
        )
        admin = AdminClient(confluent_config(self.settings))
        admin.incremental_alter_configs([resource])[resource].result(timeout=30)

    def delete_until(self, offsets: dict[int, int]) -> None:
        """Delete the source's records below these offsets by partition, as retention would."""
        admin = AdminClient(confluent_config(self.settings))
        asked = [TopicPartition(self.topics.behavior_events, number, at) for number, at in offsets.items()]
        for answer in admin.delete_records(asked).values():
            answer.result(timeout=30)

    def committed(self, patience_s: float = READ_S) -> dict[int, int]:
        """Committed source offset by partition. Raises KafkaException when the broker does not answer for so long."""
        tps = self._partitions(self.topics.behavior_events)
        found = _patiently(lambda: self._watch.committed(tps, timeout=10), patience_s)
        return {entry.partition: max(entry.offset, 0) for entry in found}

    def ends(self) -> dict[int, int]:
        """End of the source by partition."""
        tps = self._partitions(self.topics.behavior_events)
        return {
            tp.partition: _patiently(lambda tp=tp: self._watch.get_watermark_offsets(tp, timeout=10))[1]
            for tp in tps
        }

    def lag(self) -> int:
        """Records that are sent and not committed, over all partitions."""
        ends = self.ends()
        return sum(ends.values()) - sum(self.committed().values())

    def read(self, topic: str) -> list[Raw]:
        """Everything committed on a topic, partition by partition in the order of the log."""
        consumer = self._consumer(
            group_id=f"{self.settings.app_id}-read",
            isolation_level="read_committed",
            enable_partition_eof=True,
            enable_auto_commit=False,
        )
        found: list[Raw] = []
        ended: set[int] = set()
        deadline = time.monotonic() + READ_S
        try:
            partitions = self._partitions(topic)
            consumer.assign(partitions)
            while len(ended) < len(partitions):
                for message in consumer.consume(5_000, timeout=0.1):
                    error = message.error()
                    if error is None:
                        found.append(
                            Raw(
                                int(message.partition() or 0),
                                int(message.offset() or 0),
                                message.timestamp()[1],
                                message.key(),
                                message.value(),
                            )
                        )
                    elif error.code() == KafkaError._PARTITION_EOF:
                        ended.add(int(message.partition() or 0))
                if time.monotonic() > deadline:
                    raise TimeoutError(
                        f"{topic} could not be read to its end: {len(ended)} partitions of {partitions}"
                    )
        finally:
            consumer.close()
        return sorted(found, key=lambda record: (record.partition, record.offset))

    def rows(self, schema: str) -> list[dict[str, Any]]:
        """The committed records of a schema's topic, decoded."""
        values = [record.value for record in self.read(self.topics.of_schema(schema))]
        return Codec(FileRegistry(), schema).decode_rows(values)

    def _consumer(self, **config: Any) -> Consumer:
        return Consumer(
            confluent_config(self.settings, log_level=2, **{"auto_offset_reset": "earliest", **config})
        )

    def _partitions(self, topic: str) -> list[TopicPartition]:
        count = 1 if topic in (self.topics.policies, self.topics.model_releases) else self.settings.partitions
        return [TopicPartition(topic, number, 0) for number in range(count)]


class Stream(threading.Thread):
    """Sends records at a steady rate until told to stop: the load under which harm is done.

    Where the workers cannot keep up it waits for them, so that a busy machine has to do no more than a quiet one.
    """

    def __init__(self, shop: Shop, records: Sequence[Record], rate: float) -> None:
        super().__init__(name="stream", daemon=True)
        self._shop, self._records, self._rate = shop, records, rate
        self._over = threading.Event()
        self._done, self._look = 0, 0.0  # records that are committed, and when to ask again
        self.sent = 0
        self.problem = ""

    def run(self) -> None:
        producer, last, credit = self._shop.producer(), time.monotonic(), 0.0
        while not self._over.wait(STEP_S) and self.sent < len(self._records):
            now = time.monotonic()
            credit, last = min(credit + (now - last) * self._rate, self._room(now)), now
            due = min(len(self._records), self.sent + int(credit))
            for record in self._records[self.sent : due]:
                _produce(producer, self._shop.topics.behavior_events, record)
            credit -= due - self.sent
            self.sent = due
            producer.poll(0)
        if left := producer.flush(120):
            self.problem = f"{left} events were not taken by the broker"

    def _room(self, now: float) -> float:
        """How many records may be sent; while the broker does not answer, as many as the last answer allows."""
        if now >= self._look:
            self._look = now + LOOK_S
            with contextlib.suppress(KafkaException):
                self._done = sum(self._shop.committed(patience_s=0.0).values())
        return max(0.0, BACKLOG - (self.sent - self._done))

    def end(self) -> int:
        """Stop sending; returns how many records the broker has. Raises RuntimeError when it took fewer."""
        self._over.set()
        self.join(180)
        if self.problem or self.is_alive():
            raise RuntimeError(self.problem or "the stream of events did not end")
        return self.sent


def _produce(producer: Producer, topic: str, record: Record) -> None:
    while True:
        try:
            producer.produce(topic, value=record.value, key=record.key)
            return
        except BufferError:
            producer.poll(0.1)


def _patiently(ask: Callable[[], Any], seconds: float = READ_S) -> Any:
    """What a broker answers that may be away or not yet know what it is."""
    end = time.monotonic() + seconds
    while True:
        try:
            return ask()
        except KafkaException:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


def until(met: Callable[[], bool], what: Callable[[], str] | str, seconds: float) -> None:
    """Wait for it. Raises TimeoutError that says what did not come."""
    end = time.monotonic() + seconds
    while not met():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds:g} s: {what if isinstance(what, str) else what()}")
        time.sleep(0.2)
