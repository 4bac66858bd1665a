"""Which schema changes are refused, and that avro-python3 and fastavro agree."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import pytest
from avro.io import SchemaResolutionException
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import avro, compat, registry
from tests.schemas.rows import reference_read, reference_write, rows


def record(*fields: dict[str, Any], **more: Any) -> str:
    return json.dumps(
        {"type": "record", "name": "R", "fields": [{"name": "id", "type": "string"}, *fields], **more}
    )


def a(type: Any, **more: Any) -> dict[str, Any]:
    return {"name": "a", "type": type, **more}


def enum(*symbols: str, **more: Any) -> dict[str, Any]:
    return {"type": "enum", "name": "E", "symbols": list(symbols), **more}


def fixed(size: int) -> dict[str, Any]:
    return {"type": "fixed", "name": "F", "size": size}


def array(items: str) -> dict[str, Any]:
    return {"type": "array", "items": items}


def mapping(values: str) -> dict[str, Any]:
    return {"type": "map", "values": values}


def inner(*fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "record", "name": "I", "fields": list(fields)}


ROW = {"id": "x"}
MICROS, MILLIS = ({"type": "long", "logicalType": f"timestamp-{unit}"} for unit in ("micros", "millis"))
NODE = {"type": "record", "name": "N", "fields": [{"name": "next", "type": ["null", "N"], "default": None}]}
CHAIN = {"next": {"next": None}}

# (what changes, earlier schema, a row written with it, the schema of today)
ALLOWED = [
    ("nothing", record(a("int")), {"a": 1}, record(a("int"))),
    ("a new field with default", record(), {}, record(a("int", default=3))),
    ("a new nullable field", record(), {}, record(a(["null", "string"], default=None))),
    ("a field is gone", record(a("int")), {"a": 1}, record()),
    ("int to long", record(a("int")), {"a": 1}, record(a("long"))),
    ("long to double", record(a("long")), {"a": 1}, record(a("double"))),
    ("float to double", record(a("float")), {"a": 0.5}, record(a("double"))),
    ("a value becomes nullable", record(a("string")), {"a": "s"}, record(a(["null", "string"]))),
    ("a union grows", record(a(["null", "int"])), {"a": 1}, record(a(["null", "int", "string"]))),
    ("an enum grows", record(a(enum("x"))), {"a": "x"}, record(a(enum("x", "y")))),
    (
        "items are promoted",
        record(a(array("int"))),
        {"a": [1]},
        record(a(array("long"))),
    ),
    ("a new inner field with default", record(a(inner())), {"a": {}}, record(a(inner(a("int", default=1))))),
    ("a recursive type", record(a(NODE)), {"a": CHAIN}, record(a(NODE))),
]
REFUSED = [
    ("a new field without default", record(), {}, record(a("int")), "R.a: new field without default"),
    ("a type changes", record(a("string")), {"a": "s"}, record(a("int")), "R.a: type changed from string to int"),
    ("long to int", record(a("long")), {"a": 1}, record(a("int")), "R.a: type changed from long to int"),
    ("an enum symbol goes", record(a(enum("x", "y"))), {"a": "y"}, record(a(enum("x"))), "R.a: enum symbol y removed"),
    ("null not allowed", record(a(["null", "int"])), {"a": None}, record(a("int")), "R.a: type changed from null"),
    ("a union loses a branch", record(a(["int", "string"])), {"a": "s"}, record(a(["int", "null"])), "R.a: was string"),
    ("a fixed grows", record(a(fixed(2))), {"a": b"ab"}, record(a(fixed(3))), "R.a: size changed from 2 to 3"),
    ("items change", record(a(array("string"))), {"a": ["s"]}, record(a(array("int"))), "R.a[]: type changed"),
    ("map values", record(a(mapping("string"))), {"a": {"k": "s"}}, record(a(mapping("int"))), "R.a[]: type"),
    ("an inner field", record(a(inner())), {"a": {}}, record(a(inner(a("int")))), "R.a.a: new field without"),
]  # fmt: skip


def read_by_fastavro(reader: str, writer: str, row: dict[str, Any]) -> Any:
    parsed, out = fastavro.parse_schema(json.loads(writer)), io.BytesIO()
    fastavro.schemaless_writer(out, parsed, row)
    out.seek(0)
    return fastavro.schemaless_reader(out, parsed, fastavro.parse_schema(json.loads(reader)))


@pytest.mark.parametrize(("what", "writer", "row", "reader"), ALLOWED, ids=[c[0] for c in ALLOWED])
def test_a_change_that_every_old_record_survives_is_allowed(
    what: str, writer: str, row: dict[str, Any], reader: str
) -> None:
    row = ROW | row
    assert compat.check("r", reader, [writer]) == []
    read = read_by_fastavro(reader, writer, row)
    if what != "items are promoted":  # avro-python3 does not, against the specification
        assert read == reference_read(writer, reference_write(writer, row), reader)


@pytest.mark.parametrize(
    ("writer", "row", "reader", "said"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED]
)
def test_a_change_that_breaks_an_old_record_is_refused(
    writer: str, row: dict[str, Any], reader: str, said: str
) -> None:
    [line] = compat.check("r", reader, [writer])
    assert line.startswith(f"r: cannot read version 1: {said}")
    row = ROW | row
    with pytest.raises(Exception):  # noqa: B017, PT011 - fastavro has no one exception for it
        read_by_fastavro(reader, writer, row)
    with pytest.raises(SchemaResolutionException):
        reference_read(writer, reference_write(writer, row), reader)


def test_an_enum_with_a_default_may_lose_a_symbol() -> None:
    writer, reader = record(a(enum("x", "y"))), record(a(enum("x", "other", default="other")))
    assert compat.check("r", reader, [writer]) == []
    assert read_by_fastavro(reader, writer, ROW | {"a": "y"})["a"] == "other"


def test_a_field_may_be_renamed_with_an_alias() -> None:
    writer, reader = record(a("int")), record({"name": "b", "type": "int", "aliases": ["a"]})
    assert compat.check("r", reader, [writer]) == []
    assert read_by_fastavro(reader, writer, ROW | {"a": 1})["b"] == 1


def test_milliseconds_must_not_become_microseconds() -> None:
    """The specification lets them resolve; the times would be a thousand times wrong."""
    [line] = compat.check("r", record(a(MICROS)), [record(a(MILLIS))])
    assert "logical type changed from timestamp-millis to timestamp-micros" in line
    assert compat.check("r", record(a(MILLIS)), [record(a("long"))]) == []


def test_a_record_must_keep_its_name() -> None:
    [line] = compat.check("r", record(), [record(name="Old")])
    assert "name changed from Old to R" in line
    assert compat.check("r", record(aliases=["Old"]), [record(name="Old")]) == []


def test_every_earlier_version_counts_not_only_the_last() -> None:
    history = [record(a("string")), record(), record(a("int", default=1))]
    [line] = compat.check("r", record(a("int", default=1)), history)
    assert line.startswith("r: cannot read version 1: R.a: type changed from string to int")


@pytest.mark.parametrize(
    ("field", "said"),
    [
        (a("int", default="three"), 'R.a: default "three" is no value of int'),
        (a(["null", "int"], default=3), "R.a: default 3 is no value of null | int"),
        (a(enum("x"), default="y"), 'R.a: default "y" is no value of E'),
        (a(enum("x", default="y")), "R.a: enum default 'y' is not one of x"),
        ({"name": "id", "type": "int"}, "R: field id is there twice"),
    ],
)
def test_a_schema_that_is_wrong_by_itself_is_refused(field: dict[str, Any], said: str) -> None:
    assert compat.check("r", record(field), []) == [f"r: {said}"]


@pytest.mark.parametrize("name", avro.NAMES)
@settings(max_examples=10)
@given(data=st.data())
def test_dropping_what_has_a_default_is_always_allowed_and_reads_back(name: str, data: st.DataObject) -> None:
    today = json.loads(avro.current(name))
    dropped = {f["name"] for f in today["fields"] if "default" in f and data.draw(st.booleans())}
    older = json.dumps(today | {"fields": [f for f in today["fields"] if f["name"] not in dropped]})
    assert compat.check(name, avro.current(name), [older]) == []
    row = {key: value for key, value in data.draw(rows(name)).items() if key not in dropped}
    body = reference_write(older, row)
    assert reference_read(older, body, avro.current(name)) == row | {
        f["name"]: f["default"] for f in today["fields"] if f["name"] in dropped
    }


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A schema folder of its own with one recorded schema `r`, in place of ours."""
    monkeypatch.setattr(avro, "FOLDER", tmp_path)
    monkeypatch.setattr(avro, "NAMES", ("r",))
    monkeypatch.setattr(registry, "IDS", tmp_path / "ids.json")
    monkeypatch.setattr(registry, "HISTORY", tmp_path / "history")
    (tmp_path / "ids.json").write_text('{"r": [1]}')
    (tmp_path / "history").mkdir()
    for file in (tmp_path / "r.avsc", tmp_path / "history" / "r.1.avsc"):
        file.write_text(record())
    yield tmp_path
    avro.current.cache_clear()
    registry.recorded_ids.cache_clear()


def changed(folder: Path, text: str) -> None:
    (folder / "r.avsc").write_text(text)
    avro.current.cache_clear()
    registry.recorded_ids.cache_clear()


def test_our_schemas_are_compatible_and_recorded() -> None:
    assert compat.main([]) == 0


def test_the_command_refuses_a_breaking_change_and_does_not_record_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed(folder, record(a("int")))
    assert compat.main([]) == 1
    assert compat.main(["--record"]) == 1
    assert "R.a: new field without default" in capsys.readouterr().err
    assert not (folder / "history" / "r.2.avsc").exists()


def test_the_command_wants_a_change_recorded_and_records_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed(folder, record(a("int", default=1)))
    assert compat.main([]) == 1
    assert "changed and not recorded" in capsys.readouterr().err
    with pytest.raises(registry.RegistryProblem, match="--record"):
        registry.FileRegistry().id_of("r")

    assert compat.main(["--record"]) == 0
    registry.recorded_ids.cache_clear()
    assert compat.main([]) == 0
    assert registry.FileRegistry().id_of("r") == 2
    assert registry.FileRegistry().schema(1) == record()


def test_another_doc_is_not_another_schema(folder: Path) -> None:
    changed(folder, record(doc="what it is"))
    assert compat.main([]) == 0
    assert registry.FileRegistry().id_of("r") == 1
