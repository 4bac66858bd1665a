"""HttpRegistry against a real Confluent-compatible registry (Apicurio)."""

import json
import uuid
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from schemas import avro
from schemas.codec import Codec
from schemas.registry import HttpRegistry, RegistryProblem, UnknownSchema, same_schema
from schemas.settings import Settings
from schemas.topics import Topics
from tests.brokers.apicurio import Apicurio

EVENT = {
    "event_id": "6f1c8a52-0000-4000-8000-000000000001",
    "user_id": "u1",
    "event_type": "purchase",
    "event_time": 1_700_000_000_000,
    "item_id": "p1",
    "price": 12.5,
    "quantity": 2.0,
    "properties": {"store_id": "7"},
}


@pytest.fixture
def topics() -> Topics:
    """Names, and so subjects, that no other test uses."""
    return Topics(Settings(topic_prefix=f"t{uuid.uuid4().hex[:8]}-"))


def _without_last_field(text: str) -> str:
    schema: dict[str, Any] = json.loads(text)
    schema["fields"].pop()
    return json.dumps(schema)


def _with_another_type(text: str, field: str, kind: str) -> str:
    schema: dict[str, Any] = json.loads(text)
    next(f for f in schema["fields"] if f["name"] == field)["type"] = kind
    return json.dumps(schema)


@pytest.mark.parametrize("name", [name for name in avro.NAMES if name != "contact"])
def test_every_schema_registers_once_and_comes_back_by_its_id(
    apicurio: Apicurio, topics: Topics, name: str
) -> None:
    first, second = HttpRegistry(apicurio.url, topics), HttpRegistry(apicurio.url, topics)
    number = first.id_of(name)
    assert number == second.id_of(name), "another program gets the same id"
    assert same_schema(second.schema(number), avro.current(name))


def test_what_one_program_encodes_another_decodes(apicurio: Apicurio, topics: Topics) -> None:
    values = Codec(HttpRegistry(apicurio.url, topics), "behavior_event").encode_rows([EVENT] * 3)
    rows = Codec(HttpRegistry(apicurio.url, topics), "behavior_event").decode_rows(values)
    assert [{key: row[key] for key in EVENT} for row in rows] == [EVENT] * 3


def test_our_subjects_are_backward_transitive(apicurio: Apicurio, topics: Topics) -> None:
    HttpRegistry(apicurio.url, topics).id_of("behavior_event")
    client = SchemaRegistryClient({"url": apicurio.url})
    subject = f"{topics.behavior_events}-value"
    assert client.get_compatibility(subject) == "BACKWARD_TRANSITIVE"


def test_an_incompatible_schema_is_refused_naming_the_subject(
    apicurio: Apicurio, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    HttpRegistry(apicurio.url, topics).id_of("behavior_event")
    broken = _with_another_type(avro.current("behavior_event"), "user_id", "long")
    monkeypatch.setattr(avro, "current", lambda name: broken)
    subject = f"{topics.behavior_events}-value"
    with pytest.raises(RegistryProblem, match=f"behavior_event is not compatible.*{subject}"):
        HttpRegistry(apicurio.url, topics).id_of("behavior_event")


def test_a_record_of_an_older_version_is_read_with_defaults(
    apicurio: Apicurio, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        older = _without_last_field(avro.current("behavior_event"))
        before.setattr(avro, "current", lambda name: older)
        event = {key: value for key, value in EVENT.items() if key != "properties"}
        value = Codec(HttpRegistry(apicurio.url, topics), "behavior_event").encode_rows([event])
    registry = HttpRegistry(apicurio.url, topics)
    codec = Codec(registry, "behavior_event")
    assert codec.encode_rows([EVENT])[0][:5] != value[0][:5], "the newer version has an id of its own"
    [row] = codec.decode_rows(value)
    assert row["user_id"] == "u1"
    assert row["properties"] == {}


def test_a_record_under_an_id_that_nobody_registered_is_bad_and_named(
    apicurio: Apicurio, topics: Topics
) -> None:
    registry = HttpRegistry(apicurio.url, topics)
    with pytest.raises(UnknownSchema, match="2000000000"):
        registry.schema(2_000_000_000)
    codec = Codec(registry, "behavior_event")
    good = codec.encode_rows([EVENT])[0]
    decoded = codec.decode([good, b"\0" + (2_000_000_000).to_bytes(4, "big") + good[5:], good])
    assert decoded.index.tolist() == [0, 2]
    assert [(bad.index, bad.reason) for bad in decoded.bad] == [(1, "unknown_schema")]


def test_a_foreign_writer_of_the_subject_is_understood(apicurio: Apicurio, topics: Topics) -> None:
    """Another team registers its own, compatible text of our schema: other docs, same fields."""
    foreign = json.loads(avro.current("behavior_event")) | {"doc": "as the shop's team words it"}
    number = SchemaRegistryClient({"url": apicurio.url}).register_schema(
        f"{topics.behavior_events}-value", Schema(json.dumps(foreign), "AVRO")
    )
    ours = Codec(HttpRegistry(apicurio.url, topics), "behavior_event")
    body = ours.encode_rows([EVENT])[0][5:]
    [row] = ours.decode_rows([b"\0" + number.to_bytes(4, "big") + body])
    assert row["user_id"] == "u1"


def test_a_registry_that_is_away_is_named_with_its_setting(topics: Topics) -> None:
    with pytest.raises(RegistryProblem, match="INTENTFLOW_REGISTRY_URL"):
        HttpRegistry("http://127.0.0.1:1", topics).id_of("behavior_event")
