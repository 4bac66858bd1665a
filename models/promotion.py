"""Which release workers use: the compacted topic model-releases, read and written by `intentflow models`.

The last record of a model name wins, and running workers swap to it between two batches. Every promotion, also one
that goes back, names the release it replaced, so that `rollback` needs no list of its own.
"""

import posixpath
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import fsspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition

from models.engine import check_shapes
from models.release import Release, ReleaseProblem, read
from schemas.codec import Codec
from schemas.kafka import confluent_config
from schemas.registry import open_registry
from schemas.settings import Settings
from schemas.topics import Topics

SCHEMA = "model_release"
TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Promotion:
    """A record of model-releases; fields as in schemas/model_release.avsc."""

    model: str
    release: str
    uri: str
    weights_sha256: str
    feature_fingerprint: str
    promoted_at: int  # ms since 1970 UTC, wall clock
    previous: str | None
    note: str

    def open(self) -> Release:
        """The release it names; ReleaseProblem when it cannot be served or is not the one that was promoted."""
        found = read(self.uri)
        if (found.id, found.weights_sha256) != (self.release, self.weights_sha256):
            raise ReleaseProblem(
                f"{self.uri} holds {found.id}, model-releases names {self.release} with other weights: "
                "restore that folder, or promote what is there with `intentflow models promote`"
            )
        return found

    @classmethod
    def decode(cls, codec: Codec, values: Sequence[bytes | None]) -> list[Self]:
        """Promotions of record values, in their order; what does not decode is left out."""
        good = codec.decode(values).index
        return [cls(**row) for row in codec.decode_rows([values[at] for at in good])]


@dataclass(frozen=True)
class Listed:
    """A folder under releases_uri: the release, or why it cannot be served."""

    id: str
    release: Release | None
    problem: str
    promoted: bool


def challenger_key(model: str) -> bytes:
    """Key of the record that names the model's challenger."""
    return f"{model}/challenger".encode()


def codec(settings: Settings) -> Codec:
    """Codec of the topic's values."""
    return Codec(open_registry(settings), SCHEMA)


def promote(settings: Settings, release: Release, note: str = "promoted") -> Promotion:
    """Makes workers use `release`, after checking that it can be served. Returns once the brokers have the record."""
    check_shapes(release, release.weights())
    current = promoted(settings, release.card.model)
    record = Promotion(
        model=release.card.model,
        release=release.id,
        uri=release.uri,
        weights_sha256=release.weights_sha256,
        feature_fingerprint=release.card.features.fingerprint(),
        promoted_at=int(time.time() * 1000),
        previous=current.release if current else None,
        note=note,
    )
    _publish(settings, record)
    return record


def rollback(settings: Settings, model: str | None = None, note: str = "rolled back") -> Promotion:
    """Promotes the release that the present one replaced. ReleaseProblem when there is none or it is gone."""
    model = model or settings.model_name
    current = promoted(settings, model)
    if current is None or current.previous is None:
        raise ReleaseProblem(
            f"model {model}: nothing to go back to, "
            f"{'no release was promoted' if current is None else current.release + ' replaced no other'}; "
            "choose one with `intentflow models list` and `intentflow models promote`"
        )
    return promote(settings, find(settings, current.previous), note)


def find(settings: Settings, release_id: str) -> Release:
    """The release with this id under releases_uri; ReleaseProblem when it is not there."""
    return read(posixpath.join(settings.releases_uri, release_id))


def listing(settings: Settings, now: Promotion | None) -> list[Listed]:
    """Every release folder under releases_uri, oldest first. now: what `promoted` says."""
    fs, root = fsspec.url_to_fs(settings.releases_uri)
    if not fs.exists(root):
        return []
    folders = sorted(entry["name"] for entry in fs.ls(root, detail=True) if entry["type"] == "directory")
    listed = []
    for release_id in (posixpath.basename(folder.rstrip("/")) for folder in folders):
        release, problem = None, ""
        try:
            release = find(settings, release_id)
        except ReleaseProblem as found:
            problem = str(found)
        listed.append(Listed(release_id, release, problem, now is not None and now.release == release_id))
    return sorted(listed, key=lambda one: (one.release.created_at if one.release else "", one.id))


def promoted(settings: Settings, model: str | None = None) -> Promotion | None:
    """The last promotion of the model (settings.model_name by default), None when there was none.

    ReleaseProblem when the topic is missing or cannot be read within 30 s.
    """
    wanted = (model or settings.model_name).encode()
    last = [value for key, value in _records(settings) if key == wanted][-1:]
    return next(iter(Promotion.decode(codec(settings), last)), None) if last != [None] else None


def _records(settings: Settings) -> list[tuple[bytes | None, bytes | None]]:
    """Key and value of everything on the topic now."""
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


def _bytes(value: Any) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


def _publish(settings: Settings, record: Promotion) -> None:
    topic = Topics(settings).model_releases
    (value,) = codec(settings).encode_rows([asdict(record)])
    failures: list[KafkaError] = []
    producer = Producer(
        confluent_config(settings, enable_idempotence=True, message_timeout_ms=int(TIMEOUT_S * 1000))
    )

    def delivered(error: KafkaError | None, _: Any) -> None:
        if error is not None:
            failures.append(error)

    producer.produce(topic, value, record.model.encode(), on_delivery=delivered)
    if producer.flush(TIMEOUT_S + 1) or failures:
        why = failures[0].str() if failures else f"no answer within {TIMEOUT_S:g} s"
        raise ReleaseProblem(
            f"{topic}: promoting {record.release} was not written ({why}); "
            "check the topic with `intentflow topics check`, then promote again"
        )
