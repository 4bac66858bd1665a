"""Scores -> rows of the topic `predictions`, as columns. The live path and the backfill both publish through here."""

from __future__ import annotations

import binascii
import hashlib
import itertools
import uuid
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.engine import Engine, Scores

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "intentflow")


def prediction_ids(event_ids: pa.Array, challenger: str = "") -> pa.Array:
    """Ids (N,) as utf8: uuid5 (RFC 9562) of NAMESPACE and "prediction:<event id>", the same at every redo.

    event_ids: utf8 (N,), without nulls. challenger: release in shadow, whose ids are of "shadow:<release>:<event id>".
    """
    name = f"shadow:{challenger}:" if challenger else "prediction:"
    seeded, digests = hashlib.sha1(NAMESPACE.bytes + name.encode(), usedforsecurity=False).copy, []
    for event_id in event_ids.view(pa.binary()).to_pylist():
        digest = seeded()
        digest.update(event_id)
        digests.append(digest.digest())
    raw = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 20)[:, :16].copy()
    raw[:, 6] = (raw[:, 6] & 0x0F) | 0x50
    raw[:, 8] = (raw[:, 8] & 0x3F) | 0x80
    digits = np.frombuffer(binascii.hexlify(raw.tobytes()), np.uint8).reshape(-1, 32)
    text = np.full((len(raw), 36), ord("-"), np.uint8)
    for dashes, (first, last) in enumerate(itertools.pairwise((0, 8, 12, 16, 20, 32))):
        text[:, first + dashes : last + dashes] = digits[:, first:last]
    return fixed_text(text)


def fixed_text(text: npt.NDArray[np.uint8]) -> pa.Array:
    """Utf8 array (N,) of N ASCII texts of equal length, given as bytes (N, length)."""
    offsets = np.arange(len(text) + 1, dtype=np.int32) * text.shape[1]
    return pa.Array.from_buffers(pa.string(), len(text), [None, pa.py_buffer(offsets), pa.py_buffer(text)])


def prediction_batch(
    schema: pa.Schema, events: pa.RecordBatch, ids: pa.Array, scores: Scores, engine: Engine, scored_at: int
) -> pa.RecordBatch:
    """Rows (N,) of `schema` (the Prediction schema): events are the N decoded events, ids their prediction ids.

    scored_at: wall clock, ms.
    """
    n = len(ids)
    types = {field.name: field.type for field in schema}
    columns: dict[str, Any] = {
        "prediction_id": ids,
        "event_id": events.column("event_id"),
        "user_id": events.column("user_id"),
        "event_time": events.column("event_time"),
        "scored_at": pa.repeat(pa.scalar(scored_at, types["scored_at"]), n),
        "release": _column((engine.release_id,), n),
        "scores": _maps(engine.tasks, scores.tasks, types["scores"]),
        "survival": _lists(scores.survival, types["survival"]),
        "next_categories": _lists(scores.top, types["next_categories"], _column(engine.categories)),
        "next_category_scores": _lists(scores.top_scores, types["next_category_scores"]),
    }
    arrays = [_as(columns[name], kind) for name, kind in types.items()]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _as(array: pa.Array, kind: pa.DataType) -> pa.Array:
    return array if array.type == kind else array.cast(kind)


def _lists(values: npt.NDArray[Any], kind: pa.DataType, names: pa.Array | None = None) -> pa.Array:
    """A list of each row of (N, width) values; with `names` these are places there."""
    items = pa.array(values.ravel())
    items = items if names is None else names.take(items)
    return pa.ListArray.from_arrays(_offsets(*values.shape), _as(items, kind.value_type), type=kind)


def _maps(names: tuple[str, ...], values: npt.NDArray[np.float32], kind: pa.DataType) -> pa.Array:
    n, width = values.shape
    keys = _column(names, n)
    items = pa.array(values.ravel())
    return pa.MapArray.from_arrays(
        _offsets(n, width), _as(keys, kind.key_type), _as(items, kind.item_type), type=kind
    )


def _offsets(n: int, width: int) -> pa.Array:
    return pa.array(np.arange(n + 1, dtype=np.int32) * width)


def _column(names: tuple[str, ...], times: int = 1) -> pa.Array:
    """All the names as a column, over and over: so many times."""
    return _long_column(names, 1 << max(times - 1, 0).bit_length())[: times * len(names)]


@lru_cache(maxsize=64)  # the names of a release, for batches of any size
def _long_column(names: tuple[str, ...], times: int) -> pa.Array:
    return pa.array(names * times, pa.string())
