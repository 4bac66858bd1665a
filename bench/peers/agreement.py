"""Whether a peer did the job: its scores beside those that the worker's code gives for the same events."""

from __future__ import annotations

from typing import Any

import numpy as np
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from models import promotion
from models.carried import carried
from models.engine import load
from models.events import hash_strings, pack
from schemas.codec import Codec
from schemas.kafka import confluent_config
from schemas.registry import open_registry
from schemas.settings import Settings
from schemas.topics import Topics
from streams.rows import Rows
from streams.sequences import Sequences

# Peers keep their state in half precision between two events, which changes a score by 1e-6 here; to forget the state
# changes it by 2e-3.
CLOSE = 1e-4
SHARED = 0.5  # of the predictions compared, at least
ANSWER_S = 30.0

Scored = dict[str, np.ndarray]  # event id -> scores of the tasks, then the survival curve


def expected(settings: Settings, events: int) -> Scored:
    """What the worker's rows and engine say of the first `events` events of each partition."""
    promoted = promotion.promoted(settings)
    if promoted is None:
        raise RuntimeError("no release is promoted; bench.deployment.deploy does it")
    engine, spec = load(promoted.uri), promoted.open().card.features
    values = of_all(settings, Topics(settings).behavior_events, events)
    batch = Codec(open_registry(settings), "behavior_event").decode(values).batch
    users = [user.encode() for user in batch.column("user_id").to_pylist()]
    count = len(users)
    rows = Rows(carried(engine, count), settings.ring_events, lambda asked: [None] * len(asked))
    applied = Sequences(rows, engine, spec).apply(
        rows.locate(users), pack(batch), hash_strings(batch.column("event_id")), np.arange(count)
    )
    scores = engine.heads(applied.trunk)
    found = np.concatenate([scores.tasks, scores.survival], 1)
    return dict(zip(batch.column("event_id").to_pylist(), found, strict=True))


def written(settings: Settings, topic: str, events: int) -> Scored:
    """What the first `events` predictions in each partition of a topic say; fewer when there are no more."""
    rows = Codec(open_registry(settings), "prediction").decode_rows(of_all(settings, topic, events))
    return {row["event_id"]: _scores(row) for row in rows}


def difference(wanted: Scored, found: Scored) -> float:
    """The largest difference of a score; RuntimeError when most predictions are of other events than those sent first.

    Some may be: a peer need not give out all its partitions' events in the order in which they went in.
    """
    both = wanted.keys() & found.keys()
    if len(both) <= SHARED * len(found):
        raise RuntimeError(f"of the first {len(found)} predictions only {len(both)} are of the first events")
    return float(max(np.abs(wanted[event] - found[event]).max() for event in both))


def of_all(settings: Settings, topic: str, most: int) -> list[bytes]:
    """Values of the first `most` committed records of each partition."""
    return [value for at in range(settings.partitions) for value in read(settings, topic, at, most)]


def read(settings: Settings, topic: str, partition: int, most: int) -> list[bytes]:
    """Values of the first `most` committed records of a partition, fewer when there are no more."""
    config = confluent_config(settings, group_id="agreement", enable_partition_eof=True)
    consumer = Consumer(config | {"enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
    values: list[bytes] = []
    try:
        while len(values) < most:
            message = consumer.poll(ANSWER_S)
            if message is None:
                raise RuntimeError(f"{topic}: the broker gave nothing within {ANSWER_S:g} s")
            error = message.error()
            if error is None:
                values.append(message.value() or b"")
            elif error.code() == KafkaError._PARTITION_EOF:
                break
            else:
                raise KafkaException(error)
    finally:
        consumer.close()
    return values


def _scores(row: dict[str, Any]) -> np.ndarray:
    return np.array([*row["scores"].values(), *row["survival"]], np.float32)
