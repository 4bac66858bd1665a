"""Schema ids: which number stands in front of a record, and which schema a number means.

Two registries with one interface: the files of this folder with fixed ids (default, needs no service), and any
Confluent-compatible registry over HTTP. Producers ask `id_of`, consumers `schema`; both are cached by the
codec's side.
"""

import json
import time
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from schemas import avro
from schemas.settings import Settings
from schemas.topics import Topics

HISTORY = avro.FOLDER / "history"
IDS = avro.FOLDER / "ids.json"
MOST_UNKNOWN = 10_000  # broken records can name any id: what is remembered of them is bounded
FORGET_UNKNOWN_S = 30.0  # then an unknown id is asked again: it may be registered by now


class UnknownSchema(LookupError):
    """No schema is registered under the id."""


class RegistryProblem(RuntimeError):
    """The registry is away, refuses us, or is not in step with the schema files. Never the fault of a record."""


class Registry(Protocol):
    """Both directions between schema and id."""

    def id_of(self, name: str) -> int:
        """Id of the current schemas/<name>.avsc; registers it where that is possible. Raises RegistryProblem."""

    def schema(self, id: int) -> str:
        """Avro JSON of the writer schema. Raises UnknownSchema, or RegistryProblem when it cannot be asked."""


@cache
def recorded_ids() -> dict[str, list[int]]:
    """schemas/ids.json: for every schema the ids of its versions 1, 2, …; the last is the current one."""
    found: dict[str, list[int]] = json.loads(IDS.read_text(encoding="utf-8"))
    return found


def snapshot(name: str, version: int) -> Path:
    """File that keeps version `version` of a schema as it was."""
    return HISTORY / f"{name}.{version}.avsc"


class FileRegistry:
    """Ids fixed in schemas/ids.json, texts in schemas/history/<name>.<version>.avsc. The same on every machine."""

    def __init__(self) -> None:
        self._files = {
            id: snapshot(name, n) for name, ids in recorded_ids().items() for n, id in enumerate(ids, start=1)
        }

    def id_of(self, name: str) -> int:
        ids = recorded_ids().get(name, [])
        if not ids or not same_schema(self.schema(ids[-1]), avro.current(name)):
            raise RegistryProblem(
                f"schemas/{name}.avsc differs from its last recorded version; run `python -m "
                "schemas.compat --record`"
            )
        return ids[-1]

    def schema(self, id: int) -> str:
        if id not in self._files:
            raise UnknownSchema(f"schema id {id} is not in schemas/ids.json")
        return self._files[id].read_text(encoding="utf-8")


class HttpRegistry:
    """A Confluent-compatible registry; our schemas stand under `<topic>-value`, BACKWARD_TRANSITIVE."""

    def __init__(
        self, url: str, topics: Topics | None = None, *, username: str = "", password: str = ""
    ) -> None:
        config = {"url": url} | ({"basic.auth.user.info": f"{username}:{password}"} if username else {})
        self._url, self._topics = url, topics or Topics(Settings())
        self._client = SchemaRegistryClient(config)
        self._ids: dict[str, int] = {}
        self._unknown: dict[int, float] = {}

    def id_of(self, name: str) -> int:
        if name not in self._ids:
            subject = self._topics.of_schema(name) + "-value"
            schema = Schema(avro.current(name), "AVRO")
            try:
                self._ids[name] = self._look_up(subject, schema) or self._register(subject, schema)
            except SchemaRegistryError as problem:
                what = (
                    "is not compatible with earlier versions"
                    if problem.http_status_code == 409
                    else "cannot be registered"
                )
                raise RegistryProblem(
                    f"schema {name} {what} under {subject} at {self._url}: {problem.error_message}"
                ) from None
            except Exception as problem:  # its HTTP library is not ours to name: it changed between releases
                raise self._away(problem) from None
        return self._ids[name]

    def schema(self, id: int) -> str:
        if time.monotonic() < self._unknown.get(id, 0.0):
            raise UnknownSchema(f"schema id {id} is not registered at {self._url}")
        try:
            found = self._client.get_schema(id)
        except SchemaRegistryError as problem:
            if problem.http_status_code != 404:
                raise RegistryProblem(
                    f"the schema registry at {self._url} refuses id {id}: {problem.error_message}"
                ) from None
            if len(self._unknown) >= MOST_UNKNOWN:
                self._unknown.clear()
            self._unknown[id] = time.monotonic() + FORGET_UNKNOWN_S
            raise UnknownSchema(f"schema id {id} is not registered at {self._url}") from None
        except Exception as problem:  # its HTTP library is not ours to name: it changed between releases
            raise self._away(problem) from None
        if found.schema_type not in (None, "AVRO"):
            raise UnknownSchema(f"schema id {id} at {self._url} is {found.schema_type}, want AVRO")
        return str(found.schema_str)

    def _look_up(self, subject: str, schema: Schema) -> int | None:
        """Id if the schema is there already: needs no right to write."""
        try:
            return self._client.lookup_schema(subject, schema).schema_id
        except SchemaRegistryError as problem:
            if problem.http_status_code != 404:
                raise
            return None

    def _register(self, subject: str, schema: Schema) -> int:
        # The rule first, so that this very registration is held to it; a new subject may not take a rule yet.
        try:
            self._client.set_compatibility(subject, "BACKWARD_TRANSITIVE")
            return self._client.register_schema(subject, schema)
        except SchemaRegistryError as problem:
            if problem.http_status_code != 404:
                raise
        id = self._client.register_schema(subject, schema)
        self._client.set_compatibility(subject, "BACKWARD_TRANSITIVE")
        return id

    def _away(self, problem: Exception) -> RegistryProblem:
        return RegistryProblem(
            f"the schema registry at {self._url} does not answer ({type(problem).__name__}: {problem}); "
            "start it, or mend "
            "INTENTFLOW_REGISTRY_URL (empty = the file registry)"
        )


def open_registry(settings: Settings) -> Registry:
    """The registry that the settings ask for."""
    if not settings.registry_url:
        return FileRegistry()
    password = settings.registry_password.get_secret_value()
    return HttpRegistry(
        settings.registry_url, Topics(settings), username=settings.registry_username, password=password
    )


def same_schema(one: str, other: str) -> bool:
    """True when two schema texts are the same but for white space and docs."""
    return bool(_without_docs(json.loads(one)) == _without_docs(json.loads(other)))


def _without_docs(raw: Any) -> Any:
    if isinstance(raw, dict):
        return {key: _without_docs(value) for key, value in raw.items() if key != "doc"}
    return [_without_docs(value) for value in raw] if isinstance(raw, list) else raw
