"""Scores -> rows of the topic `predictions`, as columns. The live path and the backfill both publish through here."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.engine import Engine, Scores

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "intentflow")
_SEED = hashlib.sha1(NAMESPACE.bytes + b"prediction:", usedforsecurity=False)
_HEX = np.frombuffer(b"".join(b"%02x" % byte for byte in range(256)), np.uint8).reshape(256, 2)
_DIGIT_PLACES = np.array([p for p in range(36) if p not in (8, 13, 18, 23)])


def prediction_ids(event_ids: Sequence[str]) -> pa.Array:
    """Ids (N,) as utf8: uuid5 (RFC 9562) of NAMESPACE and "prediction:<event id>", the same at every redo."""
    digests = []
    for event_id in event_ids:
        digest = _SEED.copy()
        digest.update(event_id.encode())
        digests.append(digest.digest())
    raw = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 20)[:, :16].copy()
    raw[:, 6] = (raw[:, 6] & 0x0F) | 0x50
    raw[:, 8] = (raw[:, 8] & 0x3F) | 0x80
    text = np.full((len(raw), 36), ord("-"), np.uint8)
    text[:, _DIGIT_PLACES] = _HEX[raw].reshape(-1, 32)
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
    columns: dict[str, Any] = {
        "prediction_id": ids,
        "event_id": events.column("event_id"),
        "user_id": events.column("user_id"),
        "event_time": events.column("event_time"),
        "scored_at": pa.array(np.full(n, scored_at, np.int64)).cast(schema.field("scored_at").type),
        "release": pa.repeat(engine.release_id, n),
        "scores": _maps(engine.tasks, scores.tasks, schema.field("scores").type),
        "survival": _lists(
            pa.array(scores.survival.ravel()), scores.survival.shape[1], schema.field("survival").type
        ),
        "next_categories": _lists(
            pa.array(engine.categories, pa.string()).take(pa.array(scores.top.ravel())),
            scores.top.shape[1],
            schema.field("next_categories").type,
        ),
        "next_category_scores": _lists(
            pa.array(scores.top_scores.ravel()),
            scores.top.shape[1],
            schema.field("next_category_scores").type,
        ),
    }
    arrays = [_as(columns[field.name], field.type) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _as(array: pa.Array, kind: pa.DataType) -> pa.Array:
    return array if array.type == kind else array.cast(kind)


def _lists(values: pa.Array, width: int, kind: pa.DataType) -> pa.Array:
    offsets = pa.array(np.arange(len(values) // width + 1, dtype=np.int32) * width)
    return pa.ListArray.from_arrays(offsets, _as(values, kind.value_type), type=kind)


def _maps(names: Sequence[str], values: npt.NDArray[np.float32], kind: pa.DataType) -> pa.Array:
    n, width = values.shape
    keys = pa.array(names, pa.string()).take(pa.array(np.tile(np.arange(width), n)))
    offsets = pa.array(np.arange(n + 1, dtype=np.int32) * width)
    return pa.MapArray.from_arrays(
        offsets, _as(keys, kind.key_type), _as(pa.array(values.ravel()), kind.item_type), type=kind
    )
