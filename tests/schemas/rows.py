"""Rows that a schema allows, as hypothesis strategies; and avro-python3, the reference that reads and writes them."""

import io
from functools import cache
from typing import Any

import avro.io
import avro.schema
from hypothesis import strategies as st

from schemas import avro as ours
from schemas.avro import Node

HEADER_BYTES = 5
_TIMES = st.integers(0, 4_102_444_800_000)  # until the year 2100, which every library can hold


def rows(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Any row of schemas/<name>.avsc as plain values."""
    return values(ours.parse(ours.current(name)))


def values(node: Node) -> st.SearchStrategy[Any]:  # noqa: PLR0911 - one return per kind
    """Any plain value of a type."""
    if node.logical == "timestamp-millis":
        return _TIMES
    match node.kind:
        case "record":
            return st.fixed_dictionaries({field.name: values(field.type) for field in node.fields})
        case "union":
            return st.one_of([values(branch) for branch in node.branches])
        case "array":
            return st.lists(values(node.item), max_size=3)
        case "map":
            return st.dictionaries(st.text(max_size=5), values(node.item), max_size=3)
        case "enum":
            return st.sampled_from(node.symbols)
    return {
        "null": st.none(),
        "boolean": st.booleans(),
        "int": st.integers(-(2**31), 2**31 - 1),
        "long": st.integers(-(2**63), 2**63 - 1),
        "float": st.floats(width=32, allow_nan=False),
        "double": st.floats(allow_nan=False),
        "string": st.text(max_size=8),
        "bytes": st.binary(max_size=8),
    }[node.kind]


@cache
def _reference(text: str) -> avro.schema.Schema:
    return avro.schema.parse(text)


def reference_write(text: str, row: dict[str, Any]) -> bytes:
    """Body of a row as avro-python3 writes it by the schema `text`. It knows no logical types: times are numbers."""
    out = io.BytesIO()
    avro.io.DatumWriter(_reference(text)).write(row, avro.io.BinaryEncoder(out))
    return out.getvalue()


def reference_read(text: str, body: bytes, reader: str | None = None) -> dict[str, Any]:
    """The row that avro-python3 reads from a body written by `text`, projected to the schema `reader` if given."""
    read = avro.io.DatumReader(_reference(text), _reference(reader or text))
    row: dict[str, Any] = read.read(avro.io.BinaryDecoder(io.BytesIO(body)))
    return row
