"""Which schema a topic's values have, and how its records read: as rows, as a line for people, as JSON for programs."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pyarrow as pa

from schemas import registry
from schemas.codec import Codec
from schemas.columns import plain_rows
from schemas.settings import Settings
from schemas.topics import Topics
from streams.cli.log import Record

BACKFILL = "predictions-backfill-"
KEYED_BY_SHOPPER = (
    "behavior_event",
    "prediction",
    "decision",
    "intervention",
    "outcome",
    "contact",
    "attribution",
)
SHOWN_BYTES = 48


class UnknownTopic(ValueError):
    """A name that is no topic of this deployment."""


class Content(NamedTuple):
    """A record decoded: its row, or why it cannot be."""

    record: Record
    row: dict[str, Any] | None
    problem: str


class Contents:
    """Decodes the values of one topic. `topic`: with or without the prefix; a backfill's topic too."""

    def __init__(self, settings: Settings, topic: str) -> None:
        """Raises UnknownTopic that lists the topics there are."""
        self.topic, self.schema = find(settings, topic)
        self.codec = Codec(registry.open_registry(settings), self.schema)
        fields = self.codec.arrow_schema
        self._times = {field.name for field in fields if pa.types.is_timestamp(field.type)}

    @property
    def keyed_by_shopper(self) -> bool:
        return self.schema in KEYED_BY_SHOPPER

    def decode(self, records: Sequence[Record]) -> list[Content]:
        """Every record in its order."""
        decoded = self.codec.decode([record.value for record in records])
        rows = dict(zip(decoded.index.tolist(), plain_rows(decoded.batch), strict=True))
        problems = {bad.index: f"{bad.reason}: {bad.message}" for bad in decoded.bad}
        return [
            Content(record, rows.get(at), problems.get(at, "deleted" if record.value is None else ""))
            for at, record in enumerate(records)
        ]

    def line(self, content: Content) -> str:
        """For people: where, key, and the fields that say something."""
        record, key = content.record, text(content.record.key)
        where = f"{moment(record.timestamp)}  {record.partition}@{record.offset}  {key}"
        if content.row is None:
            return f"{where}  ({content.problem})"
        shown = {
            name: moment(value) if name in self._times and value is not None else value
            for name, value in content.row.items()
            if not (name == "user_id" and value == key)
        }
        return f"{where}  {fields(shown)}"

    def json(self, content: Content) -> str:
        """For programs: one object; times in ms since 1970 UTC, bytes in base64."""
        record = content.record
        found = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
        found |= {"timestamp": record.timestamp, "key": text(record.key), "value": content.row}
        if content.row is None:
            found["problem"] = content.problem
        return json.dumps(found, default=_plain, ensure_ascii=False)


def find(settings: Settings, topic: str) -> tuple[str, str]:
    """(full name, schema) of a topic. Raises UnknownTopic."""
    topics = Topics(settings)
    schemas = {topics.of_schema(name): name for name in registry.recorded_ids()}
    schemas[topics.shadow_predictions] = "prediction"
    prefix = settings.topic_prefix
    for name in (topic, prefix + topic):
        if name in schemas:
            return name, schemas[name]
        if name.startswith(prefix + BACKFILL):
            return name, "prediction"
    known = ", ".join(name.removeprefix(prefix) for name in schemas)
    raise UnknownTopic(f"{topic!r} is no topic with a schema of its own; there are {known}, {BACKFILL}<id>")


def fields(row: Mapping[str, Any]) -> str:
    """name=value of each field that holds something."""
    return "  ".join(
        f"{name}={value(found)}" for name, found in row.items() if found not in (None, "", {}, [])
    )


def value(found: Any) -> str:
    """A value on one line, floats with four digits."""
    match found:
        case float():
            return f"{found:.4g}" if math.isfinite(found) else str(found)
        case bytes():
            return text(found)
        case dict():
            return "{" + ", ".join(f"{name}: {value(one)}" for name, one in found.items()) + "}"
        case list():
            return "[" + ", ".join(map(value, found)) + "]"
    return " ".join(str(found).split())


def text(found: bytes | str | None) -> str:
    """Bytes as text where they are text, else their begin in hex and their length."""
    if not isinstance(found, bytes):
        return found or "-"
    try:
        plain = found.decode()
        if plain.isprintable() and len(plain) <= SHOWN_BYTES:
            return plain or '""'
    except UnicodeDecodeError:
        pass
    begin = found[:SHOWN_BYTES].hex(" ", 4)
    return f"0x {begin}{' …' if len(found) > SHOWN_BYTES else ''} ({len(found):,} bytes)"


def moment(ms: int) -> str:
    """A time in UTC to the second; times that no calendar has, in ms."""
    try:
        return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return f"{ms} ms"


def _plain(found: Any) -> str:
    return base64.b64encode(found).decode() if isinstance(found, bytes) else str(found)
