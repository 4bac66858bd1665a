"""Training sets by Ray Data: the shards that one machine would make, the same to the byte, made on many.

    archive files ─► read and judged, a task per file ─► shuffled by shard ─► grouped by shopper and stored, a task per shard

A row that is set aside goes with its shard and is counted there: a task that is done twice counts it once.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.replay import archive, source
from models.replay.shards import Chosen, Shard, Shards, batch_of, columns, gathered, name_of, shard_of, store
from models.replay.source import Interval
from models.scale.cluster import connected, cpus, node, part, worded
from models.usable import Bounds
from schemas.settings import Settings

_PLACE_BITS = 40  # rows of a file: its place among the files stands above them
_TASKS_PER_CPU = 4


def write(
    address: str, settings: Settings, interval: Interval, count: int, uri: str, chosen: Chosen
) -> Shards:
    """The interval's shards, from the archive; arguments as of `shards.write`. uri: a folder that every machine reaches.

    Raises SourceProblem as reading on one machine does.
    """
    with connected(address):
        data = part("ray.data")
        data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # its problems are raised, and worded here
        fs, folder = fsspec.url_to_fs(uri)
        fs.makedirs(folder, exist_ok=True)
        _, paths = archive.files(settings, "events", interval)
        files = [{"number": number, "path": path} for number, path in enumerate(paths)]
        read = partial(_read, settings.archive_uri, source.bounds(settings), interval, count)
        made = partial(_store, uri, settings.ring_events, chosen)
        tasks = min(len(files), max(1, round(_TASKS_PER_CPU * cpus())))
        listed = data.from_items(files, override_num_blocks=tasks)
        rows = listed.map_batches(read, batch_size=1, batch_format="pyarrow")
        with worded():
            stored = (
                rows.groupby("shard", num_partitions=count)
                .map_groups(made, batch_format="pyarrow")
                .take_all()
            )
    found = [
        (Shard(one["name"], one["shoppers"], one["events"], one["node"]), Counter(json.loads(one["dropped"])))
        for one in sorted(stored, key=lambda one: str(one["name"]))
    ]
    return gathered(uri, found, Counter())


def _read(
    archive_uri: str, limits: Bounds, interval: Interval, count: int, files: pa.Table
) -> Iterator[pa.Table]:
    """Rows of files that are used, and those that are set aside with the reason as `fault`."""
    fs, _ = fsspec.url_to_fs(archive_uri)
    for file in files.to_pylist():
        first = file["number"] << _PLACE_BITS
        for batch in archive.read_file(fs, file["path"]):
            good, reasons = source.judged(batch, limits, interval)
            at = np.union1d(np.flatnonzero(good), np.array(list(reasons), np.int64))
            shard = shard_of(batch.events.column("user_id"), count)[at]
            faults = pa.array([reasons.get(row) for row in at.tolist()], pa.string())
            rows = pa.Table.from_batches([columns(batch).take(pa.array(at))])
            for name, values in (("place", first + at), ("shard", shard), ("fault", faults)):
                rows = rows.append_column(name, pa.array(values))
            yield rows
            first += len(good)


def _store(uri: str, ring_events: int, chosen: Chosen, rows: pa.Table) -> dict[str, list[Any]]:
    """One shard's rows, in the order of the log, to its file; says what and where."""
    number = rows["shard"][0].as_py()
    dropped = Counter(rows["fault"].drop_null().to_pylist())
    rows = rows.filter(pc.is_null(rows["fault"])).sort_by("place")
    shard = Shard(name_of(number), 0, 0)
    if len(rows):
        batches = (batch_of(part) for part in rows.to_batches())
        shard, aside = store(batches, number, uri, ring_events, chosen)
        dropped.update(aside)
    return {
        "name": [shard.name],
        "shoppers": [shard.shoppers],
        "events": [shard.events],
        "dropped": [json.dumps(dropped)],
        "node": [node()],
    }
