"""Avro values to Arrow columns of the current schema and back: the two ways, and which one a writer's schema takes.

*Bulk* is one `pyruhvro` call for all records. *Rows* is fastavro record by record, with the Avro specification's
resolution; it serves what pyruhvro cannot (bytes, fixed, unions beyond nullable, recursion) and writers whose
nested types differ from ours. Both give the same columns.

Values are in the Confluent wire format: one zero byte, the schema id in four bytes (big endian), the body. pyruhvro
reads and writes that header as if it were two Avro fields in front of the others: the zero byte as a boolean, the id
as a float, which is four bytes as they are. That saves a copy of each value.
"""

import io
import json
from collections.abc import Callable, Sequence
from typing import Any

import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyruhvro

from schemas import avro, compat
from schemas.avro import Node

MILLIS = frozenset({"timestamp-millis"})
HEADER_BYTES = 5
_BULK_LEAVES = avro.PRIMITIVES - {"null", "bytes"}
_ZERO, _ID = "wire_zero", "wire_schema_id"

# Values that all begin with the header given -> a batch. ValueError when one has another header or does not decode.
Read = Callable[[Sequence[bytes], bytes], pa.RecordBatch]


class Unreadable(ValueError):
    """Records of this writer schema can never be read as the current one."""


def arrow_schema(reader: Node) -> pa.Schema:
    """Columns of a record schema: timestamps are pa.timestamp("ms"), enums strings, nullable unions nullable."""
    return pyruhvro.avro_to_arrow_schema(bulk_text(reader)).remove_metadata()


def bulk_text(node: Node) -> str:
    """Schema text for pyruhvro, which stops at logical types and attributes that it does not know."""
    return json.dumps(avro.canonical(node, logical=MILLIS))


def wire_text(node: Node) -> str:
    """`bulk_text` of whole values, header included."""
    schema = avro.canonical(node, logical=MILLIS)
    header = [{"name": _ZERO, "type": "boolean"}, {"name": _ID, "type": "float"}]
    return json.dumps({**schema, "fields": [*header, *schema["fields"]]})


def in_bulk(node: Node, inside: tuple[int, ...] = ()) -> bool:
    """True when pyruhvro can read and write the type."""
    if id(node) in inside:
        return False
    inside = (*inside, id(node))
    match node.kind:
        case "record":
            return all(in_bulk(field.type, inside) for field in node.fields)
        case "array" | "map":
            return in_bulk(node.item, inside)
        case "union":
            core = [branch for branch in node.branches if branch.kind != "null"]
            return (
                len(node.branches) == 2
                and len(core) == 1
                and core[0].kind != "union"
                and in_bulk(core[0], inside)
            )
    return node.kind == "enum" or node.kind in _BULK_LEAVES


def reading(reader: Node, reader_text: str, writer_text: str) -> Read:
    """The function that turns values of one writer schema into a batch of `arrow_schema(reader)`.

    Raises Unreadable when no record of that schema ever can be read.
    """
    try:
        writer = avro.parse(writer_text)
    except avro.SchemaError as problem:
        raise Unreadable(str(problem)) from None
    found = compat.problems(reader, writer, of_all=False)
    if found:
        raise Unreadable("; ".join(found))
    target = arrow_schema(reader)
    if in_bulk(writer) and in_bulk(reader):
        text = wire_text(writer)
        if text == wire_text(reader):
            return lambda values, header: _bulk(values, header, text)
        if all(_projects(field, writer) for field in reader.fields):
            return lambda values, header: _project(_bulk(values, header, text), reader, target)
    return _by_row(reader_text, writer_text, target)


def _bulk(values: Sequence[bytes], header: bytes, text: str) -> pa.RecordBatch:
    batch = pyruhvro.deserialize_array(values, text)
    ids = batch.column(1).to_numpy().view(np.uint32)
    if batch.column(0).true_count or (ids != np.frombuffer(header, np.uint32, 1, 1)).any():
        raise ValueError(f"not all values begin with {header.hex(' ')}")
    batch = batch.select(range(2, batch.num_columns))
    batch.validate(full=True)  # pyruhvro takes any bytes for text: invalid UTF-8 must not travel on
    return batch


def write(batch: pa.RecordBatch, header: bytes, text: str) -> list[bytes]:
    """Values of the rows of a batch whose columns are those of `text`, the `wire_text` of their schema."""
    zeros = pa.array(np.zeros(batch.num_rows, np.bool_))
    ids = pa.array(np.frombuffer(header, np.float32, 1, 1).repeat(batch.num_rows))
    whole = pa.RecordBatch.from_arrays([zeros, ids, *batch.columns], [_ZERO, _ID, *batch.schema.names])
    return [value for part in pyruhvro.serialize_record_batch(whole, text, 1) for value in part.to_pylist()]


def _projects(field: avro.RecordField, writer: Node) -> bool:
    """True when a column of the writer becomes the reader's by a cast, or a constant stands in for it."""
    written = next((w for w in writer.fields if w.name == field.name), None)
    if written is None:
        return field.has_default and not field.aliases
    (nullable, core), (was_nullable, was) = _core(field.type), _core(written.type)
    if was_nullable and not nullable:
        return False  # a null is one record's fault: judged by row
    same = avro.canonical(core) == avro.canonical(was)
    return same or (
        core.kind in compat.PROMOTES.get(was.kind, set()) and core.kind in ("long", "float", "double")
    )


def _core(node: Node) -> tuple[bool, Node]:
    """(nullable, the type itself) of a type that pyruhvro can read."""
    if node.kind != "union":
        return False, node
    return True, next(branch for branch in node.branches if branch.kind != "null")


def _project(batch: pa.RecordBatch, reader: Node, target: pa.Schema) -> pa.RecordBatch:
    columns = []
    for field, wanted in zip(reader.fields, target, strict=True):
        at = batch.schema.get_field_index(field.name)
        if at < 0:
            columns.append(constant(field.default, batch.num_rows, wanted.type))
        else:
            # Not safe=True: the Avro rules let a long become a float that is near it.
            columns.append(batch.column(at).cast(wanted.type, safe=False))
    return pa.RecordBatch.from_arrays(columns, schema=target)


def constant(value: Any, rows: int, type: pa.DataType) -> pa.Array:
    """A column that holds an Avro default in every row; maps are given as dicts."""
    if value is None:
        return pa.nulls(rows, type)
    if rows == 0:
        return pa.array([], type)
    return pc.take(pa.array([value], type), pa.array([0] * rows, pa.int32()))


def _by_row(reader_text: str, writer_text: str, target: pa.Schema) -> Read:
    reader = fastavro.parse_schema(avro.without_logical_types(json.loads(reader_text)))
    writer = fastavro.parse_schema(avro.without_logical_types(json.loads(writer_text)))

    def read(values: Sequence[bytes], header: bytes) -> pa.RecordBatch:
        if not all(value.startswith(header) for value in values):
            raise ValueError(f"not all values begin with {header.hex(' ')}")
        bodies = (io.BytesIO(value[HEADER_BYTES:]) for value in values)
        try:
            rows = [fastavro.schemaless_reader(body, writer, reader) for body in bodies]
            return pa.RecordBatch.from_pylist(rows, schema=target)
        except MemoryError:
            raise
        except Exception as problem:  # whatever the bytes lead fastavro to: KeyError, IndexError, EOFError …
            raise ValueError(str(problem) or type(problem).__name__) from None

    return read


def plain_rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Rows as Avro's plain values: maps as dicts, timestamps as int milliseconds (never datetimes without a zone)."""
    schema = pa.schema([pa.field(f.name, _without_timestamps(f.type), f.nullable) for f in batch.schema])
    rows: list[dict[str, Any]] = batch.cast(schema).to_pylist(maps_as_pydicts="lossy")
    return rows


def _without_timestamps(type: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(type):
        return pa.int64()
    if pa.types.is_struct(type):
        return pa.struct([pa.field(f.name, _without_timestamps(f.type), f.nullable) for f in type])
    if pa.types.is_list(type):
        return pa.list_(type.value_field.with_type(_without_timestamps(type.value_type)))
    return type


def first_null(array: pa.Array, node: Node, where: str) -> str | None:
    """Name of the first place where a null stands and the schema allows none. pyruhvro would write it as empty."""
    nullable, core = _core(node) if node.kind != "union" or in_bulk(node) else (True, node)
    if array.null_count and not nullable:
        return f"{where} (row {pc.index(pc.is_null(array), True).as_py()})"
    if core.kind not in ("record", "array", "map"):
        return None
    values = array.drop_null()
    if core.kind == "array":
        return first_null(values.flatten(), core.item, f"{where}[]")
    if core.kind == "map":
        items = pa.ListArray.from_arrays(values.offsets, values.items).flatten()
        return first_null(items, core.item, f"{where}{{}}")
    parts = zip(values.flatten(), core.fields, strict=True)
    return next(filter(None, (first_null(part, f.type, f"{where}.{f.name}") for part, f in parts)), None)


def any_null(array: pa.Array) -> bool:
    """Whether the column or anything within it holds a null, be it in a row that a slice does not show."""
    if array.null_count or not pa.types.is_nested(array.type):
        return bool(array.null_count)
    parts = array.flatten() if pa.types.is_struct(array.type) else [array.values]
    return any(map(any_null, parts))
