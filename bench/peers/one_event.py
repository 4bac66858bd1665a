"""The job for one event, as one writes it for a stream processor that hands over events one by one: plain Python.

Row of a shopper, features, model step and heads are those of the worker (same release, same featurizer formula: a test
holds the inputs equal), but for one event at a time, with scalar arithmetic where that is the faster way.
"""

from __future__ import annotations

import math
import time
import uuid
from operator import mul
from typing import Any, Protocol

import numpy as np

from models.context import FADING_DAYS
from models.engine import Engine, Scores
from models.events import DEVICES, EVENT_TYPES
from models.featurizer import FeatureSpec
from models.predictions import NAMESPACE

_MASK = (1 << 64) - 1
_BASE = 0x9E3779B97F4A7C15
_POWERS = [pow(_BASE, at, 1 << 64) for at in range(256)]
_DAY_S = 86_400.0
_TYPES = {name: code for code, name in enumerate(EVENT_TYPES)}
_DEVICES = {name: code for code, name in enumerate(DEVICES)}
_TURN = 2 * math.pi
_DAY_MS = 86_400_000
_PURCHASE = _TYPES["purchase"]


def row_dtype(ring: int, state: int) -> np.dtype[np.void]:
    """Counters, the ids and events of the last `ring` events, and the model's state in half precision."""
    event = [
        ("time", "<i8"),
        ("item", "<u4"),
        ("category", "<u4"),
        ("price", "<f4"),
        ("type", "u1"),
        ("device", "u1"),
    ]
    return np.dtype(
        [
            ("previous", "<i8"),
            ("first", "<i8"),
            ("events", "<i8"),
            ("sessions", "<i8"),
            ("purchase", "<i8"),
            ("gap", "<f4"),
            ("baskets", "<f4", (len(FADING_DAYS),)),
            ("ids", "<u8", (ring,)),
            ("ring", event, (ring,)),
            ("hidden", "<f2", (state,)),
        ]
    )


class Named(Protocol):
    """What predictions say of the model that made them: an Engine has it, and so has a Job."""

    release_id: str
    state_size: int
    tasks: tuple[str, ...]
    categories: tuple[str, ...]


class OneEvent:
    """Scores events one at a time. Rows go in and out as bytes, as a stream processor's store holds them."""

    def __init__(self, model: Engine | Named, spec: FeatureSpec, ring: int) -> None:
        self._model, self._spec, self._ring = model, spec, ring
        self._dtype = row_dtype(ring, model.state_size)
        self._empty = np.zeros(1, self._dtype).tobytes()

    def score(self, stored: bytes | None, event: dict[str, Any]) -> tuple[bytes, dict[str, Any] | None]:
        """The shopper's row after the event, and the prediction (None for a double)."""
        row = np.frombuffer(bytearray(stored or self._empty), self._dtype)[0]
        event_id = text_hash(event["event_id"])
        if (row["ids"] == event_id).any():
            return stored or self._empty, None
        ids, dense = self.inputs(row, event)
        scores, hidden = self._predict(ids, dense, row["hidden"])
        self._advance(row, event, event_id, hidden)
        return row.tobytes(), self._prediction(event, scores)

    def _predict(self, ids: list[int], dense: list[float], hidden: np.ndarray) -> tuple[Scores, np.ndarray]:
        """Scores of one event and the state after it, by two calls of an Engine."""
        trunk, after = self._model.step(
            np.array([ids], np.int32), np.array([dense], np.float32), hidden[None].astype(np.float32)
        )
        return self._model.heads(trunk), after[0]

    def inputs(self, row: Any, event: dict[str, Any]) -> tuple[list[int], list[float]]:
        """ids and dense inputs of the event, as models.featurizer.featurize makes them."""
        spec, at, count = self._spec, event["event_time"], int(row["events"])
        sessions, since, tenure = int(row["sessions"]), 0.0, 0.0
        if count:
            since = max(at - int(row["previous"]), 0) / 1000
            tenure = max(at - int(row["first"]), 0) / 1000 / _DAY_S
        price, quantity = event["price"], float(np.float16(event["quantity"] or 0.0))
        hour, day = at // 60_000 % 1440 / 1440, (at // 86_400_000 + 3) % 7 / 7
        dense = [
            math.log1p(min(price or 0.0, 1e8)) / 5.0,
            float(price is not None),
            math.log1p(quantity) / 3.0,
            math.log1p(min(since, 1e9)) / 8.0,
            float(count == 0),
            float(self._opens_session(row, at)),
            math.log1p(count) / 8.0,
            math.log1p(sessions) / 5.0,
            math.log1p(min(tenure, 1e5)) / 5.0,
            math.log1p(min(tenure / max(sessions - 1.0, 1.0), 1e5)) / 4.0,
            math.sin(_TURN * hour),
            math.cos(_TURN * hour),
            math.sin(_TURN * day),
            math.cos(_TURN * day),
            *self._buying(row, event),
        ]
        ids = [
            _bucket(short_hash(event["item_id"]), spec.item_buckets),
            _bucket(short_hash(event["category_id"]), spec.category_buckets),
            _TYPES.get(event["event_type"], 0),
            _DEVICES.get(event["device"], 0),
        ]
        return ids, dense

    def _bought(self, row: Any, event: dict[str, Any]) -> tuple[int, float, list[float]]:
        """Latest purchase, gap before it and fading basket counts, with this event counted in."""
        latest, gap, baskets = int(row["purchase"]), float(row["gap"]), row["baskets"].tolist()
        at = event["event_time"]
        if _TYPES.get(event["event_type"], 0) != _PURCHASE or at <= latest:
            return latest, gap, baskets
        days = (at - latest) / _DAY_MS if latest else 0.0
        opened = not latest or days > self._spec.session_gap_s / _DAY_S
        baskets = [n * 2 ** (-days / half) + opened for n, half in zip(baskets, FADING_DAYS, strict=True)]
        return at, days if opened else gap, baskets

    def _buying(self, row: Any, event: dict[str, Any]) -> list[float]:
        latest, gap, baskets = self._bought(row, event)
        days = max(event["event_time"] - latest, 0) / _DAY_MS if latest else 0.0
        faded = [n * 2 ** (-days / half) for n, half in zip(baskets, FADING_DAYS, strict=True)]
        return [
            float(latest > 0),
            math.log1p(min(days, 1e4) * 24.0) / 6.0,
            math.log1p(min(gap, 1e4) * 24.0) / 6.0,
            *(math.log1p(n) / scale for n, scale in zip(faded, (2.0, 3.0, 4.0), strict=True)),
        ]

    def _opens_session(self, row: Any, at: int) -> bool:
        return not row["events"] or at - int(row["previous"]) > self._spec.session_gap_s * 1000

    def _advance(self, row: Any, event: dict[str, Any], event_id: int, hidden: np.ndarray) -> None:
        at, place = event["event_time"], int(row["events"]) % self._ring
        row["sessions"] += self._opens_session(row, at)
        row["purchase"], row["gap"], row["baskets"] = self._bought(row, event)
        row["previous"] = max(int(row["previous"]), at)
        row["first"] = row["first"] or at
        row["events"] += 1
        row["ids"][place] = event_id
        row["ring"][place] = (
            at,
            short_hash(event["item_id"]),
            short_hash(event["category_id"]),
            event["price"] or 0.0,
            _TYPES.get(event["event_type"], 0),
            _DEVICES.get(event["device"], 0),
        )
        row["hidden"] = hidden

    def _prediction(self, event: dict[str, Any], scores: Any) -> dict[str, Any]:
        model = self._model
        return {
            "prediction_id": str(uuid.uuid5(NAMESPACE, f"prediction:{event['event_id']}")),
            "event_id": event["event_id"],
            "user_id": event["user_id"],
            "event_time": event["event_time"],
            "scored_at": int(time.time() * 1000),
            "release": model.release_id,
            "scores": dict(zip(model.tasks, scores.tasks[0].tolist(), strict=True)),
            "survival": scores.survival[0].tolist(),
            "next_categories": [model.categories[at] for at in scores.top[0].tolist()],
            "next_category_scores": scores.top_scores[0].tolist(),
        }


def text_hash(text: str | None) -> int:
    """models.events.hash_strings of one text."""
    if text is None:
        return 0
    data = text.encode()
    mixed = sum(map(mul, (byte + 1 for byte in data), _POWERS)) + len(data) * 0xC2B2AE3D27D4EB4F & _MASK
    mixed = (mixed ^ mixed >> 33) * 0xFF51AFD7ED558CCD & _MASK
    mixed = (mixed ^ mixed >> 33) * 0xC4CEB9FE1A85EC53 & _MASK
    return mixed ^ mixed >> 33 or 1


def short_hash(text: str | None) -> int:
    """models.events.short_hash of one text."""
    wide = text_hash(text)
    return wide & 0xFFFFFFFF or int(wide != 0)


def _bucket(hashed: int, buckets: int) -> int:
    return 1 + hashed % (buckets - 1) if hashed else 0
