"""A shop whose past is archived: what a partition made of its events, in Parquet as the archive agent writes it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from schemas.settings import Settings
from streams.archive_files import ArchiveFiles, Range
from streams.compiled import CompiledPolicy
from streams.decide import is_held_out
from streams.policy import Policy
from tests.streams.decide_cases import TASKS, document
from tests.streams.live import CODECS, RING, START, Partition, event, records, release

DAY = 24 * 60  # minutes
WINDOW = 3 * DAY
BUYS, BUYS_TREATED = 0.2, 0.6  # chance of a purchase after a click
MARGIN, COST = 10.0, 1.0
SALT = "s"


def policy(share: float = 0.0, experiment: Any = None, value: float = 1.0, **more: Any) -> Policy:
    """One coupon after clicks, whatever the scores."""
    source = document(frequency_caps=[], holdout={"salt": SALT, "share": share}, **more.pop("top", {}))
    coupon = {
        **source["campaigns"][0],
        "trigger": {"event_types": ["click"], "score": "lapse_30d", "at_least": 0.0},
        "value": {"margin_per_conversion": MARGIN, "lift": 1, "cost_per_contact": COST, "minimum": -99.0},
        "payload": {"value": value, "category": "BEEF", "expires_hours": 24},
        "cooldown_hours": 24.0,
        "experiment": experiment,
        **more,
    }
    return Policy.model_validate({**source, "campaigns": [coupon]})


def shop(users: int, share: float, treated: Any = None, seed: int = 0) -> list[dict[str, Any]]:
    """Two clicks of each shopper ten days apart, half an hour later a third, each first one perhaps with a purchase.

    treated: (user) -> whether that shopper was given the coupon; by default all who are not held out.
    """
    rng = random.Random(seed)
    given = treated or (lambda user: not is_held_out(user, SALT, share))
    rows = []
    for user in range(users):
        for at in (user, user + 10 * DAY):
            rows += [event(user, at + more, event_type="click") for more in (0, 30)]
            if rng.random() < (BUYS_TREATED if given(f"user-{user}") else BUYS):
                rows.append(event(user, at + DAY, price=40.0))
        rows.append(event(user, 20 * DAY + user, event_type="search"))
    return sorted(rows, key=lambda row: int(row["event_time"]))


def archived(folder: Path, rows: list[dict[str, Any]], of: Policy, parts: int = 4) -> Settings:
    """The events, predictions and decisions of a worker with this policy, in an archive; what it made lies there too."""
    uri = release(folder / "releases")
    partition = Partition(folder / "worker", uri, rows=4096, policy=CompiledPolicy(of, TASKS))
    size = -(-len(rows) // parts)
    for first in range(0, len(rows), size):
        partition.process(records(rows[first : first + size], first))
    files = ArchiveFiles(str(folder / "archive"))
    made = {
        "events": ("behavior_event", CODECS.behavior_event.encode_rows(rows)),
        "predictions": ("prediction", _values(partition, "prediction")),
        "decisions": ("decision", _values(partition, "decision")),
    }
    for kind, (schema, values) in made.items():
        if values:
            files.write(Range(kind, kind, 0, 0, [_table(schema, values)], grown=True))
    partition.store.close()
    return Settings(
        archive_uri=str(folder / "archive"),
        releases_uri=str(folder / "releases"),
        event_max_age_days=36500,
        ring_events=RING,
    )


def interval() -> tuple[int, int]:
    return START, START + 15 * DAY * 60_000


def _values(partition: Partition, schema: str) -> list[bytes]:
    return [value for name, value in partition.published if name == schema]


def _table(schema: str, values: list[bytes]) -> pa.Table:
    table = pa.Table.from_batches([getattr(CODECS, schema).decode(values).batch])
    numbers = np.arange(len(values))
    return (
        table.append_column("_partition", pa.array(np.zeros(len(values), np.int32)))
        .append_column("_offset", pa.array(numbers.astype(np.int64)))
        .append_column("_timestamp", pa.array(np.full(len(values), START + DAY * 60_000 * 400)))
    )
