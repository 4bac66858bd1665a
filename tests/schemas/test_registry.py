"""Schema ids: fixed in files, or given by a registry (a small HTTP one here; Apicurio: test_registry_kafka)."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

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


class SmallRegistry(BaseHTTPRequestHandler):
    """The part of a Confluent registry that we use; refuses a second version of any subject as incompatible."""

    subjects: dict[str, str]
    config: dict[str, str]

    def do_GET(self) -> None:
        known = list(self.subjects.values())
        id = int(self.path.split("?")[0].rpartition("/")[2])
        if 0 < id <= len(known):
            self._answer(200, {"schema": known[id - 1]})
        else:
            self._answer(404, {"error_code": 40403, "message": "Schema not found"})

    def do_PUT(self) -> None:
        self.config[self._subject()] = self._body()["compatibility"]
        self._answer(200, {"compatibility": self.config[self._subject()]})

    def do_POST(self) -> None:
        subject, schema = self._subject(), self._body()["schema"]
        register = "/versions" in self.path
        if register and subject not in self.subjects:
            self.subjects[subject] = schema
        elif register and self.subjects[subject] != schema:
            self._answer(409, {"error_code": 409, "message": "Schema being registered is incompatible"})
            return
        if self.subjects.get(subject) != schema:
            self._answer(404, {"error_code": 40401, "message": "Subject not found"})
            return
        id = list(self.subjects).index(subject) + 1
        self._answer(200, {"id": id, "subject": subject, "version": 1, "schema": schema})

    def log_message(self, *_: object) -> None:
        """Stay quiet."""

    def _subject(self) -> str:
        return self.path.split("?")[0].split("/")[2]

    def _body(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


@pytest.fixture
def small() -> Iterator[tuple[str, type[SmallRegistry]]]:
    handler = type("Handler", (SmallRegistry,), {"subjects": {}, "config": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", handler
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_registry_gives_ids_under_the_topics_subject(small: tuple[str, type[SmallRegistry]]) -> None:
    url, server = small
    ours = open_registry(Settings(registry_url=url, topic_prefix="shop-"))
    assert ours.id_of("behavior_event") == 1
    assert ours.id_of("policy") == 2
    assert server.config == dict.fromkeys(
        ("shop-behavior-events-value", "shop-policies-value"), "BACKWARD_TRANSITIVE"
    )
    assert json.loads(ours.schema(1))["name"] == "BehaviorEvent"
    with pytest.raises(UnknownSchema, match="4711"):
        ours.schema(4711)


def test_a_schema_that_is_registered_is_only_looked_up(small: tuple[str, type[SmallRegistry]]) -> None:
    url, server = small
    HttpRegistry(url).id_of("behavior_event")
    server.config.clear()
    assert HttpRegistry(url).id_of("behavior_event") == 1
    assert server.config == {}


def test_what_the_registry_refuses_as_incompatible_is_said_so(small: tuple[str, type[SmallRegistry]]) -> None:
    url, server = small
    server.subjects["policies-value"] = "another"
    with pytest.raises(
        RegistryProblem, match="schema policy is not compatible with earlier versions under policies-value"
    ):
        HttpRegistry(url).id_of("policy")


def test_records_of_any_registered_writer_are_read(small: tuple[str, type[SmallRegistry]]) -> None:
    url, server = small
    server.subjects |= {
        "other-value": avro.current("policy"),
        "behavior-events-value": avro.current("behavior_event"),
    }
    codec = Codec(HttpRegistry(url), "behavior_event")
    [value] = codec.encode_rows([{"event_id": "e", "user_id": "u", "event_type": "t", "event_time": 1}])
    assert value[:5] == b"\0\0\0\0\2"
    assert codec.decode_rows([value])[0]["user_id"] == "u"


def test_every_schema_has_a_topic() -> None:
    topics = Topics(Settings())
    assert len({topics.of_schema(name) for name in avro.NAMES}) == len(avro.NAMES)


def test_an_absent_registry_is_told_from_an_unknown_id() -> None:
    with pytest.raises(
        RegistryProblem, match=r"http://127\.0\.0\.1:1 does not answer .* INTENTFLOW_REGISTRY_URL"
    ):
        HttpRegistry("http://127.0.0.1:1").schema(1)


def test_a_program_that_only_reads_does_not_register() -> None:
    class ReadOnly(FileRegistry):
        def id_of(self, name: str) -> int:
            raise AssertionError("asked to register")

    [value] = Codec(FileRegistry(), "outcome").encode_rows(
        [{"outcome_id": "o", "decision_id": "d", "user_id": "u", "kind": "none", "outcome_time": 1}]
    )
    assert Codec(ReadOnly(), "outcome").decode_rows([value])[0]["revenue"] == 0
