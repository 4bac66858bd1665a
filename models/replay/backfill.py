"""Scores an interval again with a release, into a topic of its own: `predictions-backfill-<id>`.

history before the interval ─► state ─┐
events of the interval ───────────────┴─► engine ─► predictions with the ids that the live path gives them

Nothing here can reach `predictions` or `interventions`: the name is fixed, and nothing that emits is imported.
"""

import re
import time
from collections.abc import Callable, Iterator

import pyarrow as pa
from confluent_kafka import KafkaError, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from models import engine
from models.engine import Engine
from models.predictions import prediction_batch, prediction_ids
from models.release import Release
from models.replay.dataset import Sequences
from models.replay.scoring import score
from models.replay.source import Interval, SourceProblem
from schemas.codec import Codec
from schemas.kafka import confluent_config
from schemas.registry import open_registry
from schemas.settings import Settings
from schemas.topics import Topics

TIMEOUT_S = 60.0
Row = tuple[bytes, bytes]


def topic_of(settings: Settings, backfill_id: str) -> str:
    """Name of the backfill's topic. SourceProblem unless the id is one that a topic name can hold."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", backfill_id):
        raise SourceProblem(
            f"--id is {backfill_id!r}: give 1 to 64 letters, digits, dots, dashes or underscores"
        )
    return f"{Topics(settings).predictions}-backfill-{backfill_id}"


def backfill(
    settings: Settings,
    sequences: Sequences,
    release: Release,
    interval: Interval,
    backfill_id: str,
    say: Callable[[str], None] = print,
) -> int:
    """Publishes a prediction for every event within `interval`; returns how many once Kafka has them all.

    sequences: built with `keep_ids`, from as far back as state is wanted. Raises SourceProblem when the topic cannot
    be made or written.
    """
    backend = engine.load(release.uri, settings.engine, settings.device, settings.engine_threads)
    topic = _create(settings, backfill_id)
    failures: list[KafkaError] = []
    producer = Producer(
        confluent_config(
            settings,
            enable_idempotence=True,
            compression_type=settings.compression,
            partitioner="murmur2_random",  # a shopper's predictions in the partition of the shopper's events
            linger_ms=20,
        )
    )
    count = 0

    def note(error: KafkaError | None, _: object) -> None:
        if error is not None:
            failures.append(error)

    for rows in _rows(settings, sequences, release, backend, interval):
        for user, value in rows:
            while not _sent(producer, topic, user, value, note):
                producer.poll(0.5)
        count += len(rows)
        producer.poll(0)
    if producer.flush(TIMEOUT_S) or failures:
        why = failures[0].str() if failures else f"no answer within {TIMEOUT_S:g} s"
        raise SourceProblem(
            f"topic {topic}: not everything was written ({why}); run it again under another --id"
        )
    say(f"{count:,} predictions in {topic}")
    return count


def _sent(producer: Producer, topic: str, user: bytes, value: bytes, note: Callable[..., None]) -> bool:
    """Whether there was room for it in the producer's queue."""
    try:
        producer.produce(topic, value, user, on_delivery=note)
    except BufferError:
        return False
    return True


def _rows(
    settings: Settings, sequences: Sequences, release: Release, backend: Engine, interval: Interval
) -> Iterator[list[Row]]:
    codec = Codec(open_registry(settings), "prediction")
    if sequences.event_ids is None:
        raise ValueError("the sequences were built without event ids")
    wanted = interval.holds(sequences.events["time"])
    for rows, scores in score(sequences, backend, release.card.features, wanted):
        ids = sequences.event_ids.take(pa.array(rows))
        users = sequences.users.take(pa.array(sequences.shopper[rows]))
        times = pa.array(sequences.events["time"][rows])
        events = pa.RecordBatch.from_arrays([ids, users, times], names=["event_id", "user_id", "event_time"])
        now = time.time_ns() // 1_000_000
        names = prediction_ids(ids)
        batch = prediction_batch(codec.arrow_schema, events, names, scores, backend, now)
        yield list(zip((user.encode() for user in users.to_pylist()), codec.encode(batch), strict=True))


def _create(settings: Settings, backfill_id: str) -> str:
    topic = topic_of(settings, backfill_id)
    wanted = NewTopic(topic, settings.partitions, settings.replication_factor)
    client = AdminClient(confluent_config(settings))
    try:
        client.create_topics([wanted])[topic].result(TIMEOUT_S)
    except Exception as problem:
        raise SourceProblem(
            f"cannot make topic {topic}: {problem}; if it is there already choose another --id, a backfill never adds to one"
        ) from None
    return topic
