"""The events that a measurement sends: many shoppers, hardly two events of one in a row, the same for a seed.

They are made up, which is right for speed and memory (nothing is learnt from them) and for nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from models.predictions import fixed_text
from schemas.codec import Codec
from schemas.producer import EventProducer
from schemas.registry import open_registry
from schemas.settings import Settings

CATEGORIES = tuple(f"category {number:03d}" for number in range(300))
ITEMS = 50_000
TYPES = ("page_view", "item_view", "add_to_cart", "purchase", "coupon_redeem", "wishlist")
TYPE_SHARES = (0.4, 0.385, 0.1, 0.1, 0.01, 0.005)  # the last two are what the policy of measurements looks at
DEVICES = ("mobile", "desktop", "app")
BATCH = 20_000


@dataclass(frozen=True)
class Workload:
    """`events` events of `shoppers` shoppers, times spread over the `days` before `end` (ms), in order of time.

    each_once: every shopper comes once before anyone comes again; else everyone is drawn anew for each event.
    first: number of the first event; numbers are in the event ids (`number_of`), so parts of one run do not collide.
    """

    shoppers: int
    events: int
    seed: int = 1
    each_once: bool = False
    days: float = 30.0
    first: int = 0
    end: int = field(default_factory=lambda: int(time.time() * 1000))

    def batches(self, schema: pa.Schema, size: int = BATCH) -> Iterator[pa.RecordBatch]:
        """Batches of the BehaviorEvent columns that are set; the others have defaults."""
        rng = np.random.default_rng(self.seed)
        order = rng.permutation(self.shoppers) if self.each_once else None
        for start in range(0, self.events, size):
            numbers = np.arange(start, min(start + size, self.events))
            who = rng.integers(0, self.shoppers, len(numbers))
            if order is not None:
                once = numbers < self.shoppers
                who[once] = order[numbers[once]]
            yield self._batch(rng, numbers, who, schema)

    def _batch(
        self, rng: np.random.Generator, numbers: np.ndarray, who: np.ndarray, schema: pa.Schema
    ) -> pa.RecordBatch:
        n = len(numbers)
        span = self.days * 86_400_000
        times = self.end - span + (numbers + 1) * (span / self.events)
        columns = {
            "event_id": event_ids(self.first + numbers, self.seed),
            "user_id": fixed_text(user_ids(who)),
            "event_type": _picked(TYPES, rng.choice(len(TYPES), n, p=TYPE_SHARES)),
            "event_time": pa.array(times.astype(np.int64)),
            "item_id": _numbered("item-", rng.integers(0, ITEMS, n), 5),
            "category_id": _picked(CATEGORIES, rng.integers(0, len(CATEGORIES), n)),
            "price": pa.array(np.round(rng.gamma(2.0, 15.0, n), 2)),
            "quantity": pa.array(rng.integers(1, 4, n).astype(np.float64)),
            "device": _picked(DEVICES, rng.integers(0, len(DEVICES), n)),
        }
        fields = [schema.field(name) for name in columns]
        arrays = [array.cast(field.type) for array, field in zip(columns.values(), fields, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def produce(settings: Settings, workload: Workload) -> float:
    """Send all of it with the producer library, with record timestamps of now; returns the seconds it took."""
    begun = time.monotonic()
    schema = Codec(open_registry(settings), "behavior_event").arrow_schema
    with EventProducer(settings) as events:
        for batch in workload.batches(schema):
            events.send_batch(batch)
    return time.monotonic() - begun


def event_ids(numbers: np.ndarray, seed: int) -> pa.Array:
    """UUIDs (N,) that hold the number in their last 12 digits, and look random before that."""
    mixed = (numbers.astype(np.uint64) + np.uint64(seed << 40)) * np.uint64(0x9E3779B97F4A7C15)
    digits = np.stack([(mixed >> np.uint64(4 * at)) & np.uint64(15) for at in range(16)], 1)
    tail = np.stack([(numbers.astype(np.uint64) >> np.uint64(4 * at)) & np.uint64(15) for at in range(12)], 1)
    hexes = np.frombuffer(b"0123456789abcdef", np.uint8)
    out = np.full((len(numbers), 36), ord("-"), np.uint8)
    out[:, [*range(8), *range(9, 13), *range(15, 18)]] = hexes[digits[:, :15]]
    out[:, 14], out[:, 19] = ord("4"), ord("8")  # version 4, RFC 9562 variant
    out[:, 20:23] = hexes[digits[:, 13:16]]
    out[:, 24:] = hexes[tail[:, ::-1]]
    return fixed_text(out)


def number_of(event_id: str) -> int:
    """The number of an event of a workload."""
    return int(event_id[24:], 16)


def _picked(names: tuple[str, ...], which: np.ndarray) -> pa.Array:
    return pa.array(names).take(pa.array(which))


def user_ids(numbers: np.ndarray) -> np.ndarray:
    """Ids of shoppers by number, as bytes u1 (N, 12)."""
    return _digits("user-", numbers, 7)


def _numbered(prefix: str, numbers: np.ndarray, digits: int) -> pa.Array:
    return fixed_text(_digits(prefix, numbers, digits))


def _digits(prefix: str, numbers: np.ndarray, digits: int) -> np.ndarray:
    out = np.empty((len(numbers), len(prefix) + digits), np.uint8)
    out[:, : len(prefix)] = np.frombuffer(prefix.encode(), np.uint8)
    for at in range(digits):
        out[:, len(prefix) + at] = ord("0") + numbers // 10 ** (digits - 1 - at) % 10
    return out
