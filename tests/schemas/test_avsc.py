"""The schema files: every field is explained, every one is readable by pyruhvro, fastavro and avro-python3."""

import json
from collections.abc import Iterator
from typing import Any

import avro.schema
import fastavro
import pytest

from schemas import avro as ours
from schemas import columns, compat

named = pytest.mark.parametrize("name", ours.NAMES)


def documented(raw: Any, where: str) -> Iterator[tuple[str, str]]:
    """(place, doc) of every record and field in schema JSON."""
    if isinstance(raw, list):
        for branch in raw:
            yield from documented(branch, where)
    elif isinstance(raw, dict):
        if raw.get("type") == "record":
            yield where, raw.get("doc", "")
            for field in raw["fields"]:
                yield f"{where}.{field['name']}", field.get("doc", "")
                yield from documented(field["type"], f"{where}.{field['name']}")
        for inner in ("type", "items", "values"):
            if isinstance(raw.get(inner), dict | list):
                yield from documented(raw[inner], where)


@named
def test_every_record_and_field_is_explained(name: str) -> None:
    docs = list(documented(json.loads(ours.current(name)), name))
    assert len(docs) > 3
    assert [where for where, doc in docs if len(doc) < 8] == []


@named
def test_every_time_says_its_unit(name: str) -> None:
    def times(node: ours.Node, where: str) -> Iterator[str]:
        if node.logical == "timestamp-millis":
            yield where
        for field in node.fields:
            yield from times(field.type, f"{where}.{field.name}")
        for inner in (*node.branches, *((node.items,) if node.items else ())):
            yield from times(inner, where)

    docs = dict(documented(json.loads(ours.current(name)), name))
    wanted = list(times(ours.parse(ours.current(name)), name))
    assert [where for where in wanted if "milliseconds since 1970" not in docs[where]] == []


@named
def test_the_file_is_a_valid_schema_for_every_library(name: str) -> None:
    text = ours.current(name)
    node = ours.parse(text)
    assert list(compat.faults(node)) == []
    assert columns.arrow_schema(node).names == [field.name for field in node.fields]
    fastavro.parse_schema(json.loads(text))
    assert avro.schema.parse(text).name == node.short_name


def test_all_but_what_holds_whole_records_goes_in_bulk() -> None:
    slow = [name for name in ours.NAMES if not columns.in_bulk(ours.parse(ours.current(name)))]
    assert slow == ["attribution", "dead_letter"]  # bytes: pyruhvro has none


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ('{"type": "record", "name": "R"}', "fields"),
        (
            '{"type": "record", "name": "R", "fields": [{"name": "a", "type": "strin"}]}',
            "schema.a: unknown type 'strin'",
        ),
        (
            '[{"type": "enum", "name": "E", "symbols": []}, {"type": "enum", "name": "E", "symbols": []}]',
            "defined twice",
        ),
        ("5", "not a valid Avro schema"),
    ],
)
def test_a_text_that_is_no_schema_is_refused(text: str, said: str) -> None:
    with pytest.raises(ours.SchemaError, match=said):
        ours.parse(text)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ours.SchemaError, match="behavior_event"):
        ours.current("behaviour_event")
