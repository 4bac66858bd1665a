"""A training set's shard as a file: `Sequences` in one row of an Arrow IPC file, read back as they were."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from models.events import EVENT
from models.replay.dataset import Sequences
from models.replay.source import SourceProblem

_DROPPED = b"dropped"


def write(fs: Any, path: str, sequences: Sequences) -> None:
    """Under its name only when it is whole; fs: an fsspec file system."""
    bytes_ = pa.py_buffer(np.ascontiguousarray(sequences.events))
    columns = {
        "users": sequences.users.cast(pa.string()),
        "bounds": pa.array(np.asarray(sequences.bounds, np.int64)),
        "events": pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(EVENT.itemsize), len(sequences), [None, bytes_]
        ),
        "campaign": pa.array(sequences.campaign),
        "campaigns": pa.array(sequences.campaigns, pa.string()),
        "items": pa.array(sorted(sequences.item_names), pa.uint32()),
        "item_names": _in_order(sequences.item_names),
        "categories": pa.array(sorted(sequences.category_names), pa.uint32()),
        "category_names": _in_order(sequences.category_names),
    }
    if sequences.event_ids is not None:
        columns["event_ids"] = sequences.event_ids.cast(pa.string())
    row = pa.RecordBatch.from_arrays([_list(column) for column in columns.values()], names=list(columns))
    schema = row.schema.with_metadata({_DROPPED: json.dumps(sequences.dropped, sort_keys=True)})
    with fs.open(f"{path}.part", "wb") as file, pa.ipc.new_file(file, schema) as writer:
        writer.write_batch(row.replace_schema_metadata(schema.metadata))
    fs.mv(f"{path}.part", path)


def read(fs: Any, path: str) -> Sequences:
    """SourceProblem when the file is gone or damaged."""
    try:
        with fs.open(path, "rb") as file, pa.ipc.open_file(file) as reader:
            row, dropped = reader.get_batch(0), json.loads(reader.schema.metadata[_DROPPED])
    except (pa.ArrowException, OSError) as problem:
        raise SourceProblem(
            f"shard {path}: cannot be read ({str(problem).splitlines()[0]}); build the training set again"
        ) from problem
    columns = {name: row.column(name).flatten() for name in row.schema.names}
    events = columns["events"]
    return Sequences(
        users=columns["users"],
        bounds=columns["bounds"].to_numpy(),
        events=np.frombuffer(events.buffers()[1], EVENT, len(events), events.offset * EVENT.itemsize),
        campaign=columns["campaign"].to_numpy(),
        campaigns=tuple(columns["campaigns"].to_pylist()),
        item_names=_names(columns["items"], columns["item_names"]),
        category_names=_names(columns["categories"], columns["category_names"]),
        dropped=Counter(dropped),
        event_ids=columns.get("event_ids"),
    )


def _list(column: pa.Array) -> pa.Array:
    return pa.LargeListArray.from_arrays(pa.array([0, len(column)], pa.int64()), column)


def _in_order(names: dict[int, str]) -> pa.Array:
    """However the events came in batches, the file is the same."""
    return pa.array([names[code] for code in sorted(names)], pa.string())


def _names(hashes: Iterable[Any], names: Iterable[Any]) -> dict[int, str]:
    return dict(zip(pa.array(hashes).to_pylist(), pa.array(names).to_pylist(), strict=True))
