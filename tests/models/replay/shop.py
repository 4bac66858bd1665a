"""A small made-up shop in the archive's shape, for tests of the replay job: regular and lapsing shoppers, mailed coupons."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.replay import archive, shards, source
from models.replay.dataset import Sequences, build
from models.replay.history import DAY_MS
from models.replay.shards import Shards
from models.replay.source import Batch, Interval
from schemas.codec import Codec
from schemas.registry import FileRegistry
from schemas.settings import Settings

START = 1_483_228_800_000  # 2017-01-01
SCHEMA: pa.Schema = Codec(FileRegistry(), "behavior_event").arrow_schema
RING = 50
DAYS = 40
INTERVAL = Interval(START, START + DAYS * DAY_MS)


SMALL = """
lanes: 8
rounds: 16
categories: 12
architecture: {sizes: [8, 8], head: 8, memory: 8, item: 2, category: 2, type: 2, device: 2}
features: {item_buckets: 16, category_buckets: 64}
"""  # a recipe but for how long


def in_environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's settings as a command finds them."""
    for name in ("archive_uri", "releases_uri", "app_id", "topic_prefix", "bootstrap_servers"):
        monkeypatch.setenv(f"INTENTFLOW_{name.upper()}", getattr(settings, name))


def event(user: str, time: int, **changes: Any) -> dict[str, Any]:
    """A purchase; its id follows from what it says unless one is given."""
    row: dict[str, Any] = dict.fromkeys(SCHEMA.names)
    row |= {
        "user_id": user,
        "event_type": "purchase",
        "event_time": time,
        "properties": [],
        "device": "store",
    }
    row |= {"item_id": "item", "category_id": "milk", "price": 1.0, "quantity": 1.0}
    row |= changes
    row["event_id"] = row["event_id"] or f"{user}-{time}-{row['event_type']}-{row['item_id']}"
    return row


def rows(shoppers: int, days: int, seed: int = 0) -> list[dict[str, Any]]:
    """Events in time order. Every shopper has a gap of its own between baskets, and three favourite categories."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(shoppers):
        user, gap = f"user-{number}", float(rng.choice([1.5, 4.0, 15.0]))
        favourites = rng.choice(12, 3, replace=False)
        moment = rng.uniform(0, gap)
        while moment < days:
            time = START + int(moment * DAY_MS)
            for line in range(int(rng.integers(1, 4))):
                kind = int(rng.choice(favourites)) if rng.random() < 0.8 else int(rng.integers(12))
                item = f"item-{kind}-{line}"
                found.append(
                    event(user, time, item_id=item, category_id=f"category {kind}", price=1.0 + line)
                )
            moment += rng.exponential(gap) + 0.05
    return sorted(found, key=lambda row: (row["event_time"], row["user_id"]))


def troubled() -> list[dict[str, Any]]:
    """Events of INTERVAL with what is set aside among them, bad, doubled and erased; and a campaign."""
    log = rows(shoppers=30, days=DAYS)
    exposed = {"event_type": "intervention_exposed", "properties": [("campaign_id", "spring")]}
    log += [
        event("user-1", START + 3 * DAY_MS, **exposed),
        event("user-2", START + DAY_MS, price=-1.0),
        event("user-3", START + 9 * DAY_MS, event_type="erasure"),
        log[5],
    ]
    return sorted(log, key=lambda row: row["event_time"])


def batch(events: list[dict[str, Any]], first: int = 0) -> Batch:
    """One partition's log: offsets from `first` on, record times as event times."""
    times = np.array([row["event_time"] for row in events], np.int64)
    offsets = np.arange(first, first + len(events))
    return Batch(
        pa.RecordBatch.from_pylist(events, schema=SCHEMA), np.zeros(len(events), np.int32), offsets, times
    )


def sequences(events: list[dict[str, Any]]) -> Sequences:
    return build([batch(events)], RING, Counter())


def write(folder: Path, events: list[dict[str, Any]]) -> None:
    """The archive's files of these events, a file per day."""
    whole = batch(events)
    table = pa.Table.from_batches([whole.events])
    for name, values in zip(("_partition", "_offset", "_timestamp"), whole[1:], strict=True):
        table = table.append_column(name, pa.array(values))
    days = whole.timestamp // DAY_MS
    for day in np.unique(days).tolist():
        at = np.flatnonzero(days == day)
        target = folder / "events" / f"day={np.datetime64(day, 'D')}"
        target.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.take(pa.array(at)), target / f"behavior-events-0-{whole.offset[at[0]]}.parquet")


def read(settings: Settings, days: int, dropped: Counter[str]) -> Sequences:
    """What the job reads of the first `days` days."""
    interval = Interval(START, START + days * DAY_MS)
    batches = source.usable(
        archive.read_events(settings, interval), source.bounds(settings), interval, dropped
    )
    return build(batches, settings.ring_events, dropped)


def split(settings: Settings, folder: Path, count: int) -> Shards:
    """What the job makes of INTERVAL in shards."""
    dropped: Counter[str] = Counter()
    batches = source.usable(
        archive.read_events(settings, INTERVAL), source.bounds(settings), INTERVAL, dropped
    )
    return shards.write(batches, count, str(folder), settings.ring_events, dropped)
