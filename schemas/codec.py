"""Between record values and columns: Kafka bytes in the Confluent wire format ↔ Arrow record batches.

First and last step of every stage that touches Kafka. The wire format is one zero byte, the schema id in four bytes
(big endian), the Avro body. A batch is decoded in one call per writer schema; only when that fails is it cut in
halves until the bad records stand alone, so that a bad record costs its batch a few calls more and nothing else.
"""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import fastavro
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas import avro, columns
from schemas.columns import HEADER_BYTES
from schemas.registry import Registry, UnknownSchema

# Arrow's string offsets have 32 bits: more bytes than this are handled in halves.
MOST_BYTES = 1 << 30


class EncodeProblem(ValueError):
    """Rows that the schema does not allow; the message names column, row and mend."""


@dataclass(frozen=True)
class Bad:
    """A record that cannot be used: its position in the values given, a reason code, and a sentence."""

    index: int
    reason: str
    message: str


@dataclass(frozen=True)
class Decoded:
    """Result of a decode.

    batch: the good rows in their order, columns of the current schema. index: int64 (rows,), for each row its
    position in the values given, rising. bad: the others, by position.
    """

    batch: pa.RecordBatch
    index: npt.NDArray[np.int64]
    bad: list[Bad]


@dataclass
class _Gathered:
    """Batches as they are read, with the positions of their rows; the bad beside them."""

    parts: list[tuple[pa.RecordBatch, Sequence[int]]] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)


class Codec:
    """Encodes and decodes the values of one topic.

    `name` is that of schemas/<name>.avsc. Older versions and foreign writers are projected to the current schema,
    with its defaults for what they lack. Several threads may use it: what it caches is only added to.
    """

    def __init__(self, registry: Registry, name: str) -> None:
        self.name = name
        self._registry = registry
        self._text = avro.current(name)
        self._schema = avro.parse(self._text)
        self.arrow_schema: pa.Schema = columns.arrow_schema(self._schema)
        self._bulk = columns.in_bulk(self._schema)
        self._wire_text = columns.wire_text(self._schema)
        self._row_schema = fastavro.parse_schema(avro.without_logical_types(json.loads(self._text)))
        self._readers: dict[int, columns.Read | columns.Unreadable] = {}
        self._written_header: bytes | None = None

    def encode(self, batch: pa.RecordBatch) -> list[bytes]:
        """Record values, one per row. Columns are matched by name; one whose field has a default may be left out.

        Raises EncodeProblem naming the column (and row) that the schema does not allow.
        """
        batch = self._fitted(batch)
        # What a slice does not show counts for the first of these sizes: it is the cheaper one.
        if batch.num_rows > 1 and batch.get_total_buffer_size() > MOST_BYTES < batch.nbytes:
            half = batch.num_rows // 2
            return self.encode(batch.slice(0, half)) + self.encode(batch.slice(half))
        if not self._bulk:
            return self.encode_rows(columns.plain_rows(batch))
        if batch.num_rows == 0:
            return []
        try:
            return columns.write(batch, self._header(), self._wire_text)
        except ValueError as problem:
            raise EncodeProblem(f"{self.name}: {problem}") from None

    def encode_rows(self, rows: Iterable[Mapping[str, Any]]) -> list[bytes]:
        """Record values, one per dict; times as int milliseconds. For the low-volume topics: about 10 µs a row.

        Raises EncodeProblem for a missing, unknown or ill-typed field.
        """
        header, values = self._header(), []
        for number, row in enumerate(rows):
            out = io.BytesIO()
            out.write(header)
            try:
                fastavro.schemaless_writer(out, self._row_schema, row, strict_allow_default=True)
            except Exception as problem:  # whatever fastavro meets: TypeError, KeyError, AttributeError …
                raise EncodeProblem(f"{self.name}, row {number}: {self._fault(row) or problem}") from None
            values.append(out.getvalue())
        return values

    def _header(self) -> bytes:
        # Asked at the first record, not at start: a program that only reads needs no right to register.
        if self._written_header is None:
            self._written_header = b"\0" + self._registry.id_of(self.name).to_bytes(4, "big")
        return self._written_header

    def _fitted(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch with exactly the schema's columns and types; nulls only where it allows them."""
        if batch.schema.equals(self.arrow_schema) and not any(map(columns.any_null, batch.columns)):
            return batch
        extra = [name for name in batch.schema.names if name not in self.arrow_schema.names]
        if extra:
            raise EncodeProblem(
                f"{self.name}: no such field: {', '.join(extra)}; drop the column, or add it to "
                f"schemas/{self.name}.avsc"
            )
        arrays = []
        for field_, wanted in zip(self._schema.fields, self.arrow_schema, strict=True):
            at = batch.schema.get_field_index(field_.name)
            if at < 0 and not field_.has_default:
                raise EncodeProblem(f"{self.name}: column {field_.name} is missing and has no default")
            array = (
                batch.column(at) if at >= 0 else columns.constant(field_.default, batch.num_rows, wanted.type)
            )
            if array.type != wanted.type:
                array = self._cast(array, wanted)
            null = columns.first_null(array, field_.type, field_.name)
            if null:
                raise EncodeProblem(f"{self.name}: {null} is null, want a {wanted.type}")
            arrays.append(array)
        return pa.RecordBatch.from_arrays(arrays, schema=self.arrow_schema)

    def _cast(self, array: pa.Array, wanted: pa.Field) -> pa.Array:
        try:
            return array.cast(wanted.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as problem:
            raise EncodeProblem(
                f"{self.name}: column {wanted.name} is {array.type}, want {wanted.type}: {problem}"
            ) from None

    def _fault(self, row: Mapping[str, Any]) -> str:
        """Which field of a row is at fault, if it is a missing or unknown one."""
        unknown = [name for name in row if name not in self.arrow_schema.names]
        missing = [f.name for f in self._schema.fields if f.name not in row and not f.has_default]
        lines = [f"no such field: {', '.join(map(str, unknown))}"] if unknown else []
        return "; ".join(lines + ([f"missing field: {', '.join(missing)}"] if missing else []))

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        """Columns of the good records, and for each bad one why: null_value, undecodable or unknown_schema.

        Bytes behind the last field are let be, as all Avro readers do. Raises RegistryProblem when the registry
        cannot be asked: that is no record's fault.
        """
        alike = self._read_alike(values)
        if alike is not None:
            return Decoded(alike, np.arange(len(values)), [])
        out = _Gathered()
        for id, positions in self._by_writer(values, out.bad).items():
            self._read_writer(id, values, positions, out)
        out.bad.sort(key=lambda bad: bad.index)
        if len(out.parts) == 1:
            batch, at = out.parts[0]
            return Decoded(batch, np.asarray(at, np.int64), out.bad)
        if not out.parts:
            nothing = pa.RecordBatch.from_pylist([], schema=self.arrow_schema)
            return Decoded(nothing, np.empty(0, np.int64), out.bad)
        index = np.concatenate([np.asarray(at, np.int64) for _, at in out.parts])
        batch = pa.concat_batches([batch for batch, _ in out.parts])
        order = np.argsort(index)
        return Decoded(batch.take(pa.array(order)), index[order], out.bad)

    def decode_rows(self, values: Sequence[bytes | None]) -> list[dict[str, Any]]:
        """All records as dicts, times as int milliseconds, maps as dicts. Raises ValueError at a bad one."""
        decoded = self.decode(values)
        for bad in decoded.bad:
            raise ValueError(f"record {bad.index}: {bad.reason}: {bad.message}")
        return columns.plain_rows(decoded.batch)

    def _read_alike(self, values: Sequence[bytes | None]) -> pa.RecordBatch | None:
        """All in one call, as long as they are what they mostly are: good, and of one writer known. None if not."""
        first = values[0] if values else None
        read = None if first is None else self._readers.get(int.from_bytes(first[:HEADER_BYTES], "big"))
        if first is None or read is None or isinstance(read, columns.Unreadable):
            return None
        try:
            if sum(map(len, values)) > MOST_BYTES:  # type: ignore[arg-type]
                return None
            return read(values, first[:HEADER_BYTES])  # type: ignore[arg-type]
        except (ValueError, TypeError):
            return None

    def _by_writer(self, values: Sequence[bytes | None], bad: list[Bad]) -> dict[int, list[int]]:
        """Positions of the values by writer schema id."""
        groups: dict[int, list[int]] = {}
        for at, value in enumerate(values):
            if value is None:
                bad.append(
                    Bad(at, "null_value", f"the value is null; want a {self._schema.short_name} record")
                )
            elif len(value) < HEADER_BYTES or value[0] != 0:
                bad.append(Bad(at, "undecodable", self._no_header(value)))
            else:
                groups.setdefault(int.from_bytes(value[1:HEADER_BYTES], "big"), []).append(at)
        return groups

    def _no_header(self, value: bytes) -> str:
        begin = value[:8].hex(" ") or "nothing"
        return (
            f"no schema header: the value has {len(value)} bytes and begins with {begin}, want 00 and a "
            "schema id in four bytes; mend: write it with a Confluent Avro serializer"
        )

    def _read_writer(
        self, id: int, values: Sequence[bytes | None], positions: Sequence[int], out: _Gathered
    ) -> None:
        try:
            read = self._reader(id)
        except UnknownSchema as problem:
            message = f"{problem}; mend: register the writer's schema, or write with schemas/{self.name}.avsc"
            out.bad += [Bad(at, "unknown_schema", message) for at in positions]
            return
        if isinstance(read, columns.Unreadable):
            message = f"schema id {id} cannot be read: {read}; mend: write with schemas/{self.name}.avsc"
            out.bad += [Bad(at, "undecodable", message) for at in positions]
            return
        self._read(id, read, [values[at] for at in positions], positions, out)  # type: ignore[misc]

    def _read(
        self, id: int, read: columns.Read, values: list[bytes], positions: Sequence[int], out: _Gathered
    ) -> None:
        alone, half = len(values) == 1, len(values) // 2
        if alone or sum(map(len, values)) <= MOST_BYTES:
            try:
                out.parts.append((read(values, values[0][:HEADER_BYTES]), positions))
                return
            except ValueError as problem:
                if alone:
                    reason = " ".join(str(problem).split())
                    message = (
                        f"does not decode by schema id {id}: {reason}; mend: write what that schema says"
                    )
                    out.bad.append(Bad(positions[0], "undecodable", message))
                    return
        self._read(id, read, values[:half], positions[:half], out)
        self._read(id, read, values[half:], positions[half:], out)

    def _reader(self, id: int) -> columns.Read | columns.Unreadable:
        if id not in self._readers:
            try:
                self._readers[id] = columns.reading(self._schema, self._text, self._registry.schema(id))
            except columns.Unreadable as problem:
                self._readers[id] = problem
        return self._readers[id]
