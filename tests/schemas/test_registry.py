"""Schema ids: fixed in files, or given by a registry (confluent-kafka's own in-process one here)."""

import json

import pytest

from schemas import avro, registry
from schemas.codec import Codec
from schemas.registry import FileRegistry, HttpRegistry, RegistryProblem, UnknownSchema, open_registry
from schemas.settings import Settings
from schemas.topics import Topics


def test_file_ids_are_one_per_version_and_never_shared() -> None:
    ids = [id for known in registry.recorded_ids().values() for id in known]
    assert len(ids) == len(set(ids))
    assert set(registry.recorded_ids()) == set(avro.NAMES)


def test_the_ids_that_were_given_out_stay() -> None:
    """They stand in records that are stored: this list only grows."""
    given = ["behavior_event", "prediction", "decision", "intervention", "outcome", "model_release", "policy"]
    given += ["dead_letter", "contact"]
    assert {name: registry.recorded_ids()[name][0] for name in given} == {
        n: i for i, n in enumerate(given, start=1)
    }


def test_the_file_registry_gives_back_what_an_id_means() -> None:
    files = FileRegistry()
    for name in avro.NAMES:
        assert registry.same_schema(files.schema(files.id_of(name)), avro.current(name))
    with pytest.raises(UnknownSchema, match="999"):
        files.schema(999)


def test_a_registry_gives_ids_under_the_topics_subject() -> None:
    settings = Settings(registry_url="mock://here", topic_prefix="shop-")
    ours = open_registry(settings)
    assert isinstance(ours, HttpRegistry)
    id = ours.id_of("behavior_event")
    assert ours.id_of("behavior_event") == id
    assert json.loads(ours.schema(id))["name"] == "BehaviorEvent"
    assert ours._client.get_subjects() == ["shop-behavior-events-value"]
    with pytest.raises(UnknownSchema, match="4711"):
        ours.schema(4711)


def test_every_schema_has_a_topic() -> None:
    topics = Topics(Settings())
    assert len({topics.of_schema(name) for name in avro.NAMES}) == len(avro.NAMES)


def test_an_absent_registry_is_told_from_an_unknown_id() -> None:
    away = HttpRegistry("http://127.0.0.1:1", Topics(Settings()))
    with pytest.raises(RegistryProblem, match="http://127.0.0.1:1 does not answer"):
        away.schema(1)
    with pytest.raises(RegistryProblem, match="INTENTFLOW_REGISTRY_URL"):
        away.id_of("policy")


def test_a_program_that_only_reads_does_not_register() -> None:
    class ReadOnly(FileRegistry):
        def id_of(self, name: str) -> int:
            raise AssertionError("asked to register")

    [value] = Codec(FileRegistry(), "outcome").encode_rows(
        [{"outcome_id": "o", "decision_id": "d", "user_id": "u", "kind": "none", "outcome_time": 1}]
    )
    assert Codec(ReadOnly(), "outcome").decode_rows([value])[0]["revenue"] == 0
