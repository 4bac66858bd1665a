"""The training set on disk, when it is larger than memory: shoppers fall into shards by a hash, one shard is in memory.

    batches of usable events ─► one file per shard, as they come ─► each shard grouped by shopper ─► its `Sequences`

A shopper is whole within one shard, so a shard is a training set of its own, of a random share of the shoppers.
"""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import fsspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.events import hash_strings
from models.replay import stored
from models.replay.archive import LOG
from models.replay.dataset import Sequences, build
from models.replay.source import Batch, SourceProblem
from models.replay.splits import places

Array = npt.NDArray[Any]

# What of an event a training set is made from.
COLUMNS = (
    "user_id",
    "event_id",
    "event_type",
    "event_time",
    "item_id",
    "category_id",
    "price",
    "quantity",
    "device",
    "properties",
)
EVENT_BYTES = (
    700  # memory that an event takes while its shard is trained on, features and a held-out part included
)
MOST = 500  # shards, each a file that is open while the archive is read


class Shard(NamedTuple):
    """A file of the folder. node: where it was built."""

    name: str
    shoppers: int
    events: int
    node: str = ""


@dataclass(frozen=True)
class Shards(Sequence[Sequences]):
    """Shards of a folder (path or fsspec URL), each read when it is asked for. dropped: events set aside, of all."""

    uri: str
    files: tuple[Shard, ...]
    dropped: Counter[str]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, at: Any) -> Any:
        """The `Sequences` of a shard by its number. Slices are not made: they would be all in memory."""
        fs, folder = fsspec.url_to_fs(self.uri)
        return stored.read(fs, f"{folder}/{self.files[at].name}")

    @property
    def shoppers(self) -> int:
        return sum(one.shoppers for one in self.files)

    @property
    def events(self) -> int:
        return sum(one.events for one in self.files)

    @property
    def nodes(self) -> tuple[str, ...]:
        """The machines that built them."""
        return tuple(sorted({one.node for one in self.files}))


@dataclass(frozen=True)
class Chosen:
    """Keeps a random share of a shard's shoppers; None where that is nobody. share None: all of them."""

    share: float | None = None
    seed: int = 0

    def __call__(self, sequences: Sequences) -> Sequences | None:
        if self.share is None:
            return sequences
        mask = places(sequences.users, self.seed) < self.share
        return sequences.only(mask) if mask.any() else None


def count_for(events: int, memory_mib: float) -> int:
    """Shards that so many events need when one of them may take so much memory. SourceProblem for more than MOST."""
    wanted = -(-events * EVENT_BYTES // round(memory_mib * 2**20))
    if wanted > MOST:
        raise SourceProblem(
            f"--memory-mib {memory_mib:g} is too little for {events:,} events: give at least "
            f"{math.ceil(events * EVENT_BYTES / MOST / 2**20)}, or a shorter interval"
        )
    return max(int(wanted), 1)


def shard_of(users: pa.Array, count: int) -> npt.NDArray[np.int64]:
    """Number of the shard (N,) of each user id (N,)."""
    return np.asarray(hash_strings(users) % np.uint64(count), np.int64)


def name_of(number: int) -> str:
    return f"shard-{number:05d}.arrow"


def write(
    batches: Iterable[Batch],
    count: int,
    uri: str,
    ring_events: int,
    dropped: Counter[str],
    chosen: Callable[[Sequences], Sequences | None] = Chosen(),
) -> Shards:
    """Splits usable events into `count` shards and writes them to the folder; a shard without events has no file.

    dropped: what was set aside while reading, as a stream: read when it is over. chosen: what to keep of a shard, None =
    nothing. Raises SourceProblem when nothing is left.
    """
    fs, folder = fsspec.url_to_fs(uri)
    fs.makedirs(folder, exist_ok=True)
    found = []
    with tempfile.TemporaryDirectory(dir=_near(uri)) as parts:
        for number in split(batches, count, Path(parts)):
            raw = Path(parts) / str(number)
            found.append(store(reread(raw), number, uri, ring_events, chosen))
            raw.unlink()
    return gathered(uri, found, dropped)


def store(
    batches: Iterable[Batch],
    number: int,
    uri: str,
    ring_events: int,
    chosen: Callable[[Sequences], Sequences | None],
) -> tuple[Shard, Counter[str]]:
    """Groups a shard's events by shopper and writes its file, unless nothing is left; and what was set aside."""
    fs, folder = fsspec.url_to_fs(uri)
    dropped: Counter[str] = Counter()
    sequences = chosen(build(batches, ring_events, dropped))
    if sequences is None or not len(sequences):
        return Shard(name_of(number), 0, 0), dropped
    stored.write(fs, f"{folder}/{name_of(number)}", sequences)
    return Shard(name_of(number), len(sequences.users), len(sequences)), dropped


def gathered(uri: str, found: Iterable[tuple[Shard, Counter[str]]], dropped: Counter[str]) -> Shards:
    """The shards that hold something. SourceProblem when none does."""
    files = []
    total = Counter(dropped)
    for shard, aside in found:
        total.update(aside)
        files += [shard] if shard.events else []
    if not files:
        raise SourceProblem(
            f"no usable event in the interval (set aside: {dict(total) or 'none'}): choose another"
        )
    return Shards(uri, tuple(files), total)


def split(batches: Iterable[Batch], count: int, folder: Path) -> list[int]:
    """Writes each event to the file of its shopper's shard, as an Arrow IPC stream; the shards that have one."""
    writers: dict[int, pa.RecordBatchWriter] = {}
    schema: pa.Schema | None = None
    with ExitStack() as open_:
        for batch in batches:
            rows = columns(batch)
            schema = schema or rows.schema
            number = shard_of(rows.column("user_id"), count)
            order = np.argsort(number, kind="stable")
            rows, cuts = rows.take(pa.array(order)).cast(schema), np.flatnonzero(np.diff(number[order])) + 1
            for first, stop in zip([0, *cuts.tolist()], [*cuts.tolist(), len(order)], strict=True):
                one = int(number[order[first]])
                if one not in writers:
                    sink = open_.enter_context(pa.OSFile(str(folder / str(one)), "wb"))
                    writers[one] = open_.enter_context(pa.ipc.new_stream(sink, schema))
                writers[one].write_batch(rows.slice(first, stop - first))
    return sorted(writers)


def columns(batch: Batch) -> pa.RecordBatch:
    """The events' COLUMNS and where they stand in the log, as one."""
    events = batch.events.select(list(COLUMNS))
    log = [pa.array(values) for values in batch[1:]]
    return pa.RecordBatch.from_arrays([*events.columns, *log], names=[*COLUMNS, *LOG])


def batch_of(rows: pa.RecordBatch) -> Batch:
    """What `columns` made one."""
    return Batch(rows.select(list(COLUMNS)), *(rows.column(name).to_numpy() for name in LOG))


def reread(file: Path) -> Iterator[Batch]:
    with pa.OSFile(str(file), "rb") as source, pa.ipc.open_stream(source) as reader:
        for rows in reader:
            yield batch_of(rows)


def remove(uri: str) -> None:
    """The folder and all in it."""
    fs, folder = fsspec.url_to_fs(uri)
    if fs.exists(folder):
        fs.rm(folder, recursive=True)


def _near(uri: str) -> str | None:
    """Where the parts of shards are kept meanwhile: on the same disk, when that is one of this machine."""
    return uri if "://" not in uri else None
