"""What `redrive --set` says: fields of a behaviour event and the values that they get."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from models.usable import Bounds, unusable
from schemas.codec import Codec
from schemas.registry import open_registry
from schemas.settings import Settings
from streams.cli.times import milliseconds, utc

OWN_TIME = "timestamp"


class MendProblem(ValueError):
    """A --set that cannot be used; the message names it, what is wanted, and the mend."""


class Judged(NamedTuple):
    """A record's value after mending: the shopper in it if it decodes, and why it is still refused ('' = it is not)."""

    value: bytes | None
    user_id: str | None
    refused: str


class Mends:
    """The changes asked for, none at all included. Raises MendProblem for one that the schema does not allow."""

    def __init__(self, settings: Settings, sets: Sequence[str]) -> None:
        self._codec = Codec(open_registry(settings), "behavior_event")
        self._bounds = Bounds(settings.event_max_age_days, settings.event_max_ahead_s)
        self._most_bytes = int(settings.max_event_bytes)
        self._mends = [self._parsed(text) for text in sets]

    def judge(self, value: bytes | None, timestamp: int) -> Judged:
        """Mend one behaviour event. Without changes nothing is refused: the bytes are what they were.

        timestamp: the record's, ms. With changes the result is held against what the worker holds against it.
        """
        decoded = self._codec.decode([value])
        if decoded.bad:
            return Judged(value, None, decoded.bad[0].reason if self._mends else "")
        (row,) = self._codec.decode_rows([value])
        if not self._mends:
            return Judged(value, row["user_id"] or None, "")
        for name, part, new in self._mends:
            if part:
                row[name] = row[name] | {part: new}
            else:
                row[name] = timestamp if new == OWN_TIME and name == "event_time" else new
        (mended,) = self._codec.encode_rows([row])
        return Judged(mended, row["user_id"] or None, self._refused(mended, timestamp))

    def _refused(self, value: bytes, timestamp: int) -> str:
        if len(value) > self._most_bytes:
            return "oversized"
        faults = unusable(self._codec.decode([value]).batch, np.array([timestamp]), self._bounds)
        return faults[0][0] if faults else ""

    def _parsed(self, text: str) -> tuple[str, str, Any]:
        """(field, property, value); property is '' for whole fields."""
        target, equals, written = text.partition("=")
        name, _, part = target.partition(".")
        schema = self._codec.arrow_schema
        if not equals or name not in schema.names:
            raise MendProblem(f"--set {text}: want FIELD=VALUE with a field of {', '.join(schema.names)}")
        field = schema.field(name)
        if pa.types.is_map(field.type) != bool(part):
            raise MendProblem(f"--set {text}: want properties.NAME=VALUE for a property, else FIELD=VALUE")
        if not part and not written:
            if not field.nullable:
                raise MendProblem(f"--set {text}: {name} cannot be empty; write a value behind =")
            return name, part, None
        return name, part, written if part else _typed(text, field, written)


def _typed(text: str, field: pa.Field, written: str) -> Any:
    try:
        if pa.types.is_floating(field.type):
            return float(written)
        if pa.types.is_timestamp(field.type):
            return _time(written)
    except ValueError:
        number = pa.types.is_floating(field.type)
        kind = "a number" if number else f"a time such as 2026-03-01T12:00Z, ms since 1970, or {OWN_TIME}"
        raise MendProblem(f"--set {text}: want {kind}") from None
    return written


def _time(written: str) -> int | str:
    if written == OWN_TIME:
        return written
    if written.isdigit() and len(written) > len("20260301"):
        return int(written)
    return milliseconds(utc(datetime.fromisoformat(written)))
