"""The known events: real shoppers' events, encoded once, with a few that an honest log also has.

They come from the data sets in the order in which they happened, dealt one from each in turn, so that shoppers with
two hundred events and shoppers with two are in the log side by side. Woven in, by fixed steps: a consent event, an event sent
twice, an event that comes late, and a record that cannot be decoded. The same count gives the same records.
"""

from __future__ import annotations

import itertools
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from bench.workload import Workload
from schemas.codec import Codec
from schemas.registry import FileRegistry
from streams import loaders
from streams.loaders.base import DATA, SCHEMA, DataMissing

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
PORTION = 4_096
CONSENT_EVERY, TWICE_EVERY, LATE_EVERY, GARBAGE_EVERY = 97, 211, 307, 4_001
LATE_BY = 400  # records that a late event lets pass


@dataclass(frozen=True)
class Record:
    """A record to send. `event_id` is empty for garbage."""

    key: bytes
    value: bytes
    event_id: str


@dataclass(frozen=True)
class Known:
    """Records in the order in which they are sent, and where they are from."""

    source: str
    records: list[Record]
    categories: tuple[str, ...]  # the most frequent ones: what a release can predict


def known(count: int) -> Known:
    """`count` events (and the few woven in) of every data set that is here, of made-up shoppers if none is."""
    if DATA not in os.environ and SHARED.is_dir():
        os.environ[DATA] = str(SHARED)
    feeds, names = [], []
    for name in sorted(loaders.LOADERS):
        feed = _events(name)
        try:
            first = next(feed)
        except (DataMissing, ImportError, StopIteration):
            continue
        feeds.append(itertools.chain([first], feed))
        names.append(name)
    if not feeds:
        feeds = [_single(Workload(count // 50 + 1, count, end=1_750_000_000_000).batches(SCHEMA), "made-up")]
        names = ["made-up shoppers (bench/workload.py): no data set is here"]
    batch = _dealt(feeds, count)
    records = list(_woven(batch))
    return Known(", ".join(names), records, _frequent(batch.column("category_id")))


def _events(name: str) -> Iterator[pa.RecordBatch]:
    yield from _single(loaders.open(name).events(batch_rows=PORTION), name)


def _single(batches: Iterator[pa.RecordBatch], name: str) -> Iterator[pa.RecordBatch]:
    """The batches with users named by their data set, so that no two sets share a shopper."""
    for found in batches:
        batch = _filled(found)
        at = batch.schema.get_field_index("user_id")
        users = pc.binary_join_element_wise(name, batch.column("user_id"), ":")
        yield batch.set_column(at, batch.schema.field(at), users.cast(batch.schema.field(at).type))


def _filled(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with every column of SCHEMA: those that it lacks are null, or an empty map."""
    columns = [
        batch.column(field.name).cast(field.type)
        if field.name in batch.schema.names
        else pa.array([[] if pa.types.is_map(field.type) else None] * len(batch), field.type)
        for field in SCHEMA
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def _dealt(feeds: list[Iterator[pa.RecordBatch]], count: int) -> pa.RecordBatch:
    """One event of each feed in turn, as long as they last."""
    tables: list[pa.Table] = []
    share = -(-count // len(feeds))
    for feed in feeds:
        taken: list[pa.RecordBatch] = []
        while sum(map(len, taken)) < share and (batch := next(feed, None)) is not None:
            taken.append(batch)
        tables.append(pa.Table.from_batches(taken).slice(0, share))
    turn = [(row, feed) for feed, table in enumerate(tables) for row in range(len(table))]
    starts = list(itertools.accumulate((len(table) for table in tables), initial=0))
    order = [starts[feed] + row for row, feed in sorted(turn)]
    table = pa.concat_tables(tables).take(pa.array(order)).combine_chunks()
    (batch,) = table.to_batches()
    return batch


def _woven(batch: pa.RecordBatch) -> Iterator[Record]:
    codec = Codec(FileRegistry(), "behavior_event")
    values = codec.encode(batch)
    users, ids = batch.column("user_id").to_pylist(), batch.column("event_id").to_pylist()
    times = batch.column("event_time").cast(pa.int64()).to_pylist()
    waiting: dict[int, Record] = {}
    for at, (user, event_id, time, value) in enumerate(zip(users, ids, times, values, strict=True)):
        record = Record(user.encode(), value, event_id)
        if at % LATE_EVERY == LATE_EVERY - 1:
            waiting[at + LATE_BY] = record
        else:
            yield record
        if at in waiting:
            yield waiting.pop(at)
        if at % CONSENT_EVERY == CONSENT_EVERY - 1:
            yield _consent(codec, user, time, at)
        if at % TWICE_EVERY == TWICE_EVERY - 1:
            yield record
        if at % GARBAGE_EVERY == GARBAGE_EVERY - 1:
            yield Record(user.encode(), b"no Avro at all", "")
    yield from waiting.values()


def _consent(codec: Codec, user: str, time: int, at: int) -> Record:
    event_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"consent {at}"))
    row = {
        "event_id": event_id,
        "user_id": user,
        "event_type": "consent",
        "event_time": time,
        "properties": {"channel": ("coupon", "push", "all")[at % 3], "granted": ("yes", "no")[at % 2]},
    }
    (value,) = codec.encode_rows([row])
    return Record(user.encode(), value, event_id)


def _frequent(categories: pa.Array, most: int = 40) -> tuple[str, ...]:
    counts = sorted(
        pc.value_counts(categories.drop_null()).to_pylist(),
        key=lambda entry: (-entry["counts"], entry["values"]),
    )
    return tuple(entry["values"] for entry in counts[:most])
