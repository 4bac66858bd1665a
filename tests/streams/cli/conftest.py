"""The command line against a broker: its settings in the environment, as a user has them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from confluent_kafka import Producer
from typer.testing import CliRunner

from schemas import topics
from schemas.codec import Codec
from schemas.kafka import confluent_config
from schemas.registry import FileRegistry
from schemas.settings import Settings
from schemas.topics import Topics
from streams.cli import app

Run = Callable[..., Any]
GIVEN = (
    "app_id",
    "bootstrap_servers",
    "topic_prefix",
    "data_dir",
    "releases_uri",
    "archive_uri",
    "metrics_port",
)


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("tail", "decisions")`: the result of the command under the test's settings; expects exit code 0."""
    for name in GIVEN:
        monkeypatch.setenv(f"INTENTFLOW_{name.upper()}", str(getattr(settings, name)))

    def invoke(*arguments: str, code: int = 0) -> Any:
        result = CliRunner().invoke(app, list(arguments))
        assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
        return result

    return invoke


@pytest.fixture
def shop(settings: Settings) -> Settings:
    """The test's settings, with the topics made."""
    topics.create(settings)
    return settings


def send(settings: Settings, schema: str, rows: Sequence[Mapping[str, Any]], key: str = "user_id") -> None:
    """Write rows to the topic of a schema, keyed as the pipeline keys them."""
    values = Codec(FileRegistry(), schema).encode_rows(rows)
    topic = Topics(settings).of_schema(schema)
    put(settings, topic, [(str(row[key]).encode(), value) for row, value in zip(rows, values, strict=True)])


def put(
    settings: Settings, topic: str, records: Sequence[tuple[bytes | None, bytes | None]], **more: Any
) -> None:
    """Write raw records."""
    producer = Producer(confluent_config(settings, partitioner="murmur2_random"))
    for key, value in records:
        producer.produce(topic, value=value, key=key, **more)
    assert producer.flush(30) == 0
