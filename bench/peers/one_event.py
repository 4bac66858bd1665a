"""The job for one event, as one writes it for a stream processor that hands over events one by one: plain Python.

Row of a shopper, features, model step and heads are those of the worker (same release, same featurizer formula: a test
holds the inputs equal), but for one event at a time, with scalar arithmetic where that is the faster way.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import math
import struct
import time
from operator import mul
from typing import Any, NamedTuple, Protocol

import numpy as np

from models.context import FADING_DAYS
from models.engine import Engine, Scores
from models.events import DEVICES, EVENT_TYPES
from models.featurizer import FeatureSpec
from models.predictions import NAMESPACE

_MASK = (1 << 64) - 1
_BASE = 0x9E3779B97F4A7C15
_POWERS = [pow(_BASE, at, 1 << 64) for at in range(256)]
_SUMS = [0, *itertools.accumulate(_POWERS)]
_DAY_S = 86_400.0
_TYPES = {name: code for code, name in enumerate(EVENT_TYPES)}
_DEVICES = {name: code for code, name in enumerate(DEVICES)}
_TURN = 2 * math.pi
_DAY_MS = 86_400_000
_PURCHASE = _TYPES["purchase"]

_COUNTERS = struct.Struct("<5q4f")
_EVENT = struct.Struct("<qIIfBB")  # time, item, category, price, type, device


class Counters(NamedTuple):
    """What stands first in a shopper's row. Times in ms, 0 = none; the gap in days."""

    previous: int
    first: int
    events: int
    sessions: int
    purchase: int
    gap: float
    week: float  # baskets so far, fading with the half-lives FADING_DAYS
    month: float
    quarter: float


class Layout:
    """A row's bytes: counters, the ids and events of the last `ring` events, and the model's state in half precision."""

    def __init__(self, ring: int, state: int) -> None:
        self.ring, self.state = ring, state
        self.ids = struct.Struct(f"<{ring}Q")
        self.ring_at = _COUNTERS.size + self.ids.size
        self.state_at = self.ring_at + ring * _EVENT.size
        self.size = self.state_at + 2 * state

    def id_at(self, place: int) -> int:
        return _COUNTERS.size + 8 * place

    def event_at(self, place: int) -> int:
        return self.ring_at + _EVENT.size * place


class Named(Protocol):
    """What predictions say of the model that made them: an Engine has it, and so has a Job."""

    release_id: str
    state_size: int
    tasks: tuple[str, ...]
    categories: tuple[str, ...]


class OneEvent:
    """Scores events one at a time. Rows go in and out as bytes, as a stream processor's store holds them."""

    def __init__(self, model: Engine | Named, spec: FeatureSpec, ring: int) -> None:
        self._model, self._spec = model, spec
        self._layout = Layout(ring, model.state_size)

    def score(self, stored: bytes | None, event: dict[str, Any]) -> tuple[bytes, dict[str, Any] | None]:
        """The shopper's row after the event, and the prediction (None for a double)."""
        layout, event_id = self._layout, text_hash(event["event_id"])
        row = bytearray(stored or layout.size)
        if event_id in layout.ids.unpack_from(row, _COUNTERS.size):
            return bytes(row), None
        before = Counters._make(_COUNTERS.unpack_from(row))
        after = self._advanced(before, event)
        ids, dense = self.inputs(before, after, event)
        hidden = np.frombuffer(row, np.float16, offset=layout.state_at)
        scores, hidden[:] = self._predict(ids, dense, hidden)
        place = before.events % layout.ring
        _COUNTERS.pack_into(row, 0, *after)
        struct.pack_into("<Q", row, layout.id_at(place), event_id)
        price = event["price"] or 0.0
        item, category = short_hash(event["item_id"]), short_hash(event["category_id"])
        _EVENT.pack_into(row, layout.event_at(place), event["event_time"], item, category, price, *ids[2:])
        return bytes(row), self._prediction(event, scores)

    def _predict(self, ids: list[int], dense: list[float], hidden: np.ndarray) -> tuple[Scores, np.ndarray]:
        """Scores of one event and the state after it, by two calls of an Engine."""
        trunk, after = self._model.step(
            np.array([ids], np.int32), np.array([dense], np.float32), hidden[None].astype(np.float32)
        )
        return self._model.heads(trunk), after[0]

    def inputs(
        self, before: Counters, after: Counters, event: dict[str, Any]
    ) -> tuple[list[int], list[float]]:
        """ids and dense inputs of the event, as models.featurizer.featurize makes them."""
        spec, at, count, sessions = self._spec, event["event_time"], before.events, before.sessions
        since = tenure = 0.0
        if count:
            since = max(at - before.previous, 0) / 1000
            tenure = max(at - before.first, 0) / 1000 / _DAY_S
        price, quantity = event["price"], float(np.float16(event["quantity"] or 0.0))
        hour, day = at // 60_000 % 1440 / 1440, (at // 86_400_000 + 3) % 7 / 7
        dense = [
            math.log1p(min(price or 0.0, 1e8)) / 5.0,
            float(price is not None),
            math.log1p(quantity) / 3.0,
            math.log1p(min(since, 1e9)) / 8.0,
            float(count == 0),
            float(after.sessions > sessions),
            math.log1p(count) / 8.0,
            math.log1p(sessions) / 5.0,
            math.log1p(min(tenure, 1e5)) / 5.0,
            math.log1p(min(tenure / max(sessions - 1.0, 1.0), 1e5)) / 4.0,
            math.sin(_TURN * hour),
            math.cos(_TURN * hour),
            math.sin(_TURN * day),
            math.cos(_TURN * day),
            *_buying(after, at),
        ]
        ids = [
            _bucket(short_hash(event["item_id"]), spec.item_buckets),
            _bucket(short_hash(event["category_id"]), spec.category_buckets),
            _TYPES.get(event["event_type"], 0),
            _DEVICES.get(event["device"], 0),
        ]
        return ids, dense

    def _advanced(self, before: Counters, event: dict[str, Any]) -> Counters:
        """The counters after the event."""
        at = event["event_time"]
        latest, gap, *baskets = before[4:]
        if _TYPES.get(event["event_type"], 0) == _PURCHASE and at > latest:
            days = (at - latest) / _DAY_MS if latest else 0.0
            opened = not latest or days > self._spec.session_gap_s / _DAY_S
            baskets = [n * 2 ** (-days / half) + opened for n, half in zip(baskets, FADING_DAYS, strict=True)]
            latest, gap = at, days if opened else gap
        return Counters(
            max(before.previous, at),
            before.first or at,
            before.events + 1,
            before.sessions + self._opens_session(before, at),
            latest,
            gap,
            *baskets,
        )

    def _opens_session(self, before: Counters, at: int) -> bool:
        return not before.events or at - before.previous > self._spec.session_gap_s * 1000

    def _prediction(self, event: dict[str, Any], scores: Any) -> dict[str, Any]:
        model = self._model
        return {
            "prediction_id": _prediction_id(event["event_id"]),
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


def _buying(after: Counters, at: int) -> list[float]:
    """The last six dense inputs, with this event counted in."""
    days = max(at - after.purchase, 0) / _DAY_MS if after.purchase else 0.0
    faded = [n * 2 ** (-days / half) for n, half in zip(after[6:], FADING_DAYS, strict=True)]
    return [
        float(after.purchase > 0),
        math.log1p(min(days, 1e4) * 24.0) / 6.0,
        math.log1p(min(after.gap, 1e4) * 24.0) / 6.0,
        *(math.log1p(n) / scale for n, scale in zip(faded, (2.0, 3.0, 4.0), strict=True)),
    ]


def _prediction_id(event_id: str) -> str:
    """uuid5 of "prediction:<event id>"; the uuid module takes five times as long."""
    digest = bytearray(hashlib.sha1(NAMESPACE.bytes + f"prediction:{event_id}".encode()).digest()[:16])
    digest[6], digest[8] = digest[6] & 0x0F | 0x50, digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def text_hash(text: str | None) -> int:
    """models.events.hash_strings of one text."""
    if text is None:
        return 0
    data = text.encode()
    ones = _SUMS[min(len(data), len(_POWERS))]  # each byte counts one more than it is, so that zeros count
    mixed = sum(map(mul, data, _POWERS)) + ones + len(data) * 0xC2B2AE3D27D4EB4F & _MASK
    mixed = (mixed ^ mixed >> 33) * 0xFF51AFD7ED558CCD & _MASK
    mixed = (mixed ^ mixed >> 33) * 0xC4CEB9FE1A85EC53 & _MASK
    return mixed ^ mixed >> 33 or 1


@functools.lru_cache(1 << 17)  # of items and categories, which come again
def short_hash(text: str | None) -> int:
    """models.events.short_hash of one text."""
    wide = text_hash(text)
    return wide & 0xFFFFFFFF or int(wide != 0)


def _bucket(hashed: int, buckets: int) -> int:
    return 1 + hashed % (buckets - 1) if hashed else 0
