"""The compacted topic model-releases as bytes: everything that is on it, and records written to it."""

import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from models.release import ReleaseProblem
from schemas.kafka import confluent_config, written
from schemas.settings import Settings
from schemas.topics import Topics

TIMEOUT_S = 30.0


def read(settings: Settings) -> list[tuple[bytes | None, bytes | None]]:
    """Key and value of everything on the topic now, in order.

    ReleaseProblem when the topic is missing or cannot be read within 30 s.
    """
    topic = Topics(settings).model_releases
    consumer = Consumer(
        confluent_config(
            settings,
            group_id=f"{settings.app_id}-models",  # librdkafka wants one; assign() joins no group
            enable_auto_commit=False,
            enable_partition_eof=True,
        )
    )
    records: list[tuple[bytes | None, bytes | None]] = []
    try:
        missing = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic].error
        if missing is not None:
            raise KafkaException(missing)
        consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            message = consumer.poll(1.0)
            if message is None:
                continue
            error = message.error()
            if error is None:
                records.append((_bytes(message.key()), _bytes(message.value())))
            elif error.code() == KafkaError._PARTITION_EOF:
                return records
            else:
                raise KafkaException(error)
    except KafkaException as problem:
        raise ReleaseProblem(
            f"{topic} at {settings.bootstrap_servers}: {problem.args[0].str()}; "
            "is Kafka up, and are the topics there (`intentflow topics create`)?"
        ) from problem
    finally:
        consumer.close()
    raise ReleaseProblem(
        f"{topic}: not read to its end within {TIMEOUT_S:g} s; is Kafka up at {settings.bootstrap_servers}?"
    )


def write(settings: Settings, records: Mapping[bytes, bytes | None], what: str) -> None:
    """Records by key, None deletes; returns once the brokers have them. ReleaseProblem says that `what` was not written."""
    topic = Topics(settings).model_releases
    why = written(settings, topic, records, TIMEOUT_S)
    if why:
        raise ReleaseProblem(
            f"{topic}: {what} was not written ({why}); check the topic with `intentflow topics check`, then try again"
        )


def _bytes(value: Any) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
