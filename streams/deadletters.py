"""Records that could not be used: their rows for the topic `dead-letters`, original bytes and headers included."""

from __future__ import annotations

from typing import Any

from schemas.codec import Codec
from streams.decode import Dead


def dead_letters(dead: list[Dead], codec: Codec, failed_at: int) -> list[tuple[bytes | None, bytes]]:
    """(key, value) of each dead letter, keyed as the record was; failed_at: wall clock, ms."""
    values = codec.encode_rows([_row(letter, failed_at) for letter in dead])
    return [(letter.record.key, value) for letter, value in zip(dead, values, strict=True)]


def _row(letter: Dead, failed_at: int) -> dict[str, Any]:
    record = letter.record
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "key": record.key,
        "value": record.value,
        "headers": [{"name": name, "value": value} for name, value in record.headers or ()],
        "reason": letter.reason,
        "message": letter.message,
        "failed_at": failed_at,
    }
