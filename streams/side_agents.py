"""What the agents beside the live path share: how they stop, and how they consume.

librdkafka's consumer and no Faust: its own threads fetch and keep the group's heartbeat while an agent works.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Producer

from schemas.kafka import confluent_config
from schemas.settings import Settings
from schemas.topics import ANSWER_S

log = logging.getLogger(__name__)
POLL_RECORDS = 8_192
# librdkafka tells of these and goes on by itself.
PASSING = {KafkaError._MAX_POLL_EXCEEDED, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN}


class Raw(NamedTuple):
    """A record as the worker's decoder takes it."""

    key: bytes | None
    value: bytes | None
    offset: int
    timestamp: int


@contextlib.contextmanager
def until_told() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set, for a process that ends in order; handlers are as before afterwards."""
    stop = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def consumer_config(settings: Settings, agent: str, instance: str, **more: Any) -> dict[str, Any]:
    """Of a member of the group of this agent, which commits by itself and is told of the ends of partitions.

    instance: a name of this agent alone that stays over its restarts; empty: none.
    """
    static = {"group_instance_id": instance} if instance else {}
    return confluent_config(
        settings,
        group_id=f"{settings.app_id}-{agent}",
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        enable_partition_eof=True,
        session_timeout_ms=round(settings.session_timeout_s * 1000),
        receive_message_max_bytes=1_000_000_000,  # noida-db sends all that there is, whatever was asked
        queued_max_messages_kbytes=4_096,  # per partition
        **static,
        **more,
    )


def producer_config(settings: Settings, name: str, **more: Any) -> dict[str, Any]:
    """Of a transactional producer. name: of whoever may write as it at a time; a successor ends what it left open."""
    return confluent_config(
        settings,
        transactional_id=f"{settings.app_id}-{name}",
        transaction_timeout_ms=int(settings.transaction_timeout_s * 1000),
        compression_type=settings.compression,
        **more,
    )


def abort(producer: Producer) -> None:
    """End a transaction that failed, as far as the broker lets us."""
    try:
        producer.abort_transaction(ANSWER_S)
    except KafkaException:  # a successor ends it
        log.warning("the transaction could not be aborted", exc_info=True)
