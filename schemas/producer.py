"""The library with which a site's back end emits behaviour events; the loaders use it too.

    with EventProducer(Settings.load()) as events:
        events.send({"user_id": "u1", "event_type": "add_to_cart", "item_id": "p42", "price": 12.5})

First step of the data flow: everything downstream begins with what is written here. Records are keyed by
`user_id`
and placed by murmur2, as Java and aiokafka clients do, so that a shopper's events share a partition whoever
sends them.
"""

import math
import time
import uuid
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from schemas.codec import Codec, EncodeProblem
from schemas.kafka import confluent_config
from schemas.registry import open_registry
from schemas.settings import Settings
from schemas.topics import SHOPPER_MESSAGE_BYTES, Topics

FULL_WAIT_S = 0.05  # how long to serve deliveries when the queue is full, before trying again
NAMED_FAILURES = 5  # so many failures are spelled out in a DeliveryFailed


class DeliveryFailed(RuntimeError):
    """Kafka did not take one or more events; `failures` counts them, the message names the first."""

    def __init__(self, failures: list[str], where: str) -> None:
        self.failures = len(failures)
        shown = "\n".join(f"- {line}" for line in failures[:NAMED_FAILURES])
        more = f"\n- and {self.failures - NAMED_FAILURES} more" if self.failures > NAMED_FAILURES else ""
        super().__init__(f"{self.failures} events were not delivered to {where}:\n{shown}{more}")


class EventProducer:
    """Sends events to behavior-events: idempotent, acknowledged by all in-sync replicas, compressed.

    `send` and `send_batch` return at once; what Kafka refused is raised as DeliveryFailed by the next `send`,
    `flush` or `close`. Use it as a context manager, or call `close`. Used by one thread at a time.
    """

    def __init__(self, settings: Settings, **librdkafka: Any) -> None:
        """`librdkafka` overrides single client settings, with _ for . (`linger_ms=0`)."""
        self._topic = Topics(settings).behavior_events
        self._where = f"{self._topic} at {settings.bootstrap_servers}"
        self._codec = Codec(open_registry(settings), "behavior_event")
        self._failures: list[str] = []
        config = {
            "enable_idempotence": True,
            "partitioner": "murmur2_random",  # librdkafka's own default places keys elsewhere than Java does
            "compression_type": settings.compression,
            "message_max_bytes": SHOPPER_MESSAGE_BYTES,
            "linger_ms": 20,
            "delivery_report_only_error": True,
            "error_cb": self._on_error,
            "on_delivery": self._on_delivery,
        }
        self._producer = Producer(confluent_config(settings, **(config | librdkafka)))

    def send(self, event: dict[str, Any]) -> str:
        """Send one event; returns its id. `event_id` and `event_time` (int ms) default to a new uuid and now.

        To send an event again after a failure, pass the id that it had: doubles are dropped by id. Raises
        EncodeProblem for an event that the pipeline would put among the dead letters.
        """
        event = {"event_id": str(uuid.uuid4()), "event_time": time.time_ns() // 1_000_000} | event
        _check(event)
        [value] = self._codec.encode_rows([event])
        self._produce(value, str(event["user_id"]), None)
        self._producer.poll(0)
        self._raise_failures()
        return str(event["event_id"])

    def send_batch(self, batch: pa.RecordBatch, timestamps: Sequence[int] | np.ndarray | None = None) -> None:
        """Send a batch of columns as in schemas/behavior_event.avsc, one event per row.

        timestamps: record timestamps in ms, one per row; None = now. Mind retention: Kafka deletes
        by record timestamp.
        Raises EncodeProblem before anything is sent.
        """
        _check_users(batch)
        values = self._codec.encode(batch)
        times = [None] * len(values) if timestamps is None else [int(t) for t in timestamps]
        for value, user, moment in zip(values, batch.column("user_id").to_pylist(), times, strict=True):
            self._produce(value, user, moment)
        self._producer.poll(0)
        self._raise_failures()

    def flush(self, timeout_s: float = 60.0) -> None:
        """Wait until Kafka has all that was sent. Raises DeliveryFailed if not all arrived within the time."""
        left = self._producer.flush(timeout_s)
        if left:
            self._failures.append(f"{left} events still unacknowledged after {timeout_s:g} s")
        self._raise_failures()

    def close(self) -> None:
        """Flush; raises DeliveryFailed like it. Calling it twice does no harm."""
        self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._producer.flush(10.0)  # the exception on its way matters more than a failure here

    def _produce(self, value: bytes, key: str, timestamp: int | None) -> None:
        more: dict[str, Any] = {} if timestamp is None else {"timestamp": timestamp}
        while True:
            try:
                self._producer.produce(self._topic, value=value, key=key, **more)
                return
            except BufferError:  # full: let deliveries come in, which slows the caller to Kafka's pace
                self._producer.poll(FULL_WAIT_S)
                self._raise_failures()
            except KafkaException as problem:
                raise DeliveryFailed([f"user {key!r}: {problem.args[0].str()}"], self._where) from None

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            key = message.key()
            user = key.decode(errors="replace") if isinstance(key, bytes) else str(key)
            self._failures.append(f"user {user!r}: {error.str()}")

    def _on_error(self, error: KafkaError) -> None:
        # Others are retried by librdkafka and, if they last, come back through the delivery reports.
        if error.fatal():
            self._failures.append(f"the producer had to stop: {error.str()}")

    def _raise_failures(self) -> None:
        if self._failures:
            failures, self._failures = self._failures, []
            raise DeliveryFailed(failures, self._where)


def _check(event: dict[str, Any]) -> None:
    """What the schema cannot say about an event. The worker judges the same again, for producers of other makes."""
    if not event.get("user_id"):
        raise EncodeProblem(
            "behavior_event: user_id is empty; an event needs a shopper: it is the record key"
        )
    for name in ("price", "quantity"):
        value = event.get(name)
        if isinstance(value, float) and not (math.isfinite(value) and value >= 0):
            raise EncodeProblem(
                f"behavior_event: {name} is {value}, want a finite number not below 0, or null"
            )


def _check_users(batch: pa.RecordBatch) -> None:
    if "user_id" not in batch.schema.names:
        raise EncodeProblem("behavior_event: column user_id is missing and has no default")
    empty = pc.index(
        pc.fill_null(pc.equal(batch.column("user_id").cast(pa.string()), ""), False), True
    ).as_py()
    if empty >= 0:
        raise EncodeProblem(
            f"behavior_event: user_id is empty in row {empty}; an event needs a shopper: it is the record key"
        )
