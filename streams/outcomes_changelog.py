"""Reads what the outcome agent had kept of a partition's shoppers when it last committed."""

from __future__ import annotations

import time

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from schemas.kafka import bounds, confluent_config
from schemas.settings import Settings
from schemas.topics import ANSWER_S
from streams.side_agents import PASSING, POLL_RECORDS

WAIT_S = 0.5


class OutcomeProblem(RuntimeError):
    """The agent cannot go on; nothing of its last step was committed, and it is done again by whoever starts next."""


def latest(settings: Settings, topic: str, number: int, newest: Consumer) -> dict[bytes, bytes]:
    """The latest value of each key of one partition of a compacted topic, up to the end that `newest` is told.

    Committed records only. Raises OutcomeProblem when a transaction stays open for longer than it may.
    """
    place = TopicPartition(topic, number)
    begin, end = bounds(newest, place, ANSWER_S)
    found: dict[bytes, bytes] = {}
    if begin == end:
        return found
    config = confluent_config(
        settings,
        group_id=f"{settings.app_id}-outcomes-changelog",
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        enable_partition_eof=True,
    )
    reader = Consumer(config)
    given_up = time.monotonic() + 2 * settings.transaction_timeout_s + ANSWER_S
    try:
        reader.assign([TopicPartition(topic, number, begin)])
        at = begin
        while at < end:
            messages = reader.consume(POLL_RECORDS, timeout=WAIT_S)
            for message in messages:
                error, at = message.error(), max(at, (message.offset() or 0) + (message.error() is None))
                if error is None and message.value() is None:
                    found.pop(bytes(message.key() or b""), None)
                elif error is None:
                    found[bytes(message.key() or b"")] = bytes(message.value() or b"")
                elif error.code() not in {*PASSING, KafkaError._PARTITION_EOF}:
                    raise KafkaException(error)
            if messages and any(message.error() is None for message in messages):
                given_up = time.monotonic() + 2 * settings.transaction_timeout_s + ANSWER_S
            elif time.monotonic() > given_up:
                raise OutcomeProblem(f"{topic}-{number}: a transaction stays open at offset {at} of {end}")
        return found
    finally:
        reader.close()
