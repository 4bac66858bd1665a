"""A shop whose past is archived: what a partition made of its events, in Parquet as the archive agent writes it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from models.events import hash_strings
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


def archived(
    folder: Path,
    rows: list[dict[str, Any]],
    of: Policy,
    parts: int = 4,
    until: int | None = None,
    partitions: int = 1,
) -> Settings:
    """The events, predictions and decisions of a worker with this policy, in an archive; what it made lies there too.

    until: ms, where the clock stands at the end, for what waits; None: at the last event. Every partition has a share of
    the shoppers, and the whole of a budget.
    """
    uri, files = release(folder / "releases"), ArchiveFiles(str(folder / "archive"))
    for number in range(partitions):
        mine = [row for row in rows if hash_strings(pa.array([row["user_id"]]))[0] % partitions == number]
        partition = Partition(folder / f"worker-{number}", uri, rows=4096, policy=CompiledPolicy(of, TASKS))
        size = -(-len(mine) // parts)
        for first in range(0, len(mine), size):
            partition.process(records(mine[first : first + size], first))
        if until is not None:
            partition.idle(len(mine), until)
        made = {
            "events": ("behavior_event", CODECS.behavior_event.encode_rows(mine)),
            "predictions": ("prediction", _values(partition, "prediction")),
            "decisions": ("decision", _values(partition, "decision")),
        }
        for kind, (schema, values) in made.items():
            if values:
                table = _table(schema, values, number)
                files.write(Range(kind, kind, number, 0, [table], grown=True))
        partition.store.close()
    return Settings(
        archive_uri=str(folder / "archive"),
        releases_uri=str(folder / "releases"),
        event_max_age_days=36500,
        ring_events=RING,
        partitions=partitions,
        timer_lateness_s=0.0,
    )


def interval() -> tuple[int, int]:
    return START, START + 15 * DAY * 60_000


def _values(partition: Partition, schema: str) -> list[bytes]:
    return [value for name, value in partition.published if name == schema]


def _table(schema: str, values: list[bytes], partition: int) -> pa.Table:
    table = pa.Table.from_batches([getattr(CODECS, schema).decode(values).batch])
    numbers = np.arange(len(values))
    return (
        table.append_column("_partition", pa.array(np.full(len(values), partition, np.int32)))
        .append_column("_offset", pa.array(numbers.astype(np.int64)))
        .append_column("_timestamp", pa.array(np.full(len(values), START + DAY * 60_000 * 400)))
    )
