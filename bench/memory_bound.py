"""How much memory a worker may use, from its settings alone: the bound that measurements hold it to."""

from __future__ import annotations

from models.architecture import Architecture
from schemas.settings import Settings
from streams.rows import row_dtype

MIB = 1 << 20
SLOT_BYTES = 256  # of a hot row beside its data: the key as Python object, its place in the index, marks
BASE_MIB = 320  # interpreter, libraries and model: a worker without shoppers
WAITING_BYTES = 1_024  # of a record that waits: as it came, a Python object
RECORD_BYTES = 2_048  # of a record in a turn: raw, as columns, its prediction
ROW_COPIES = 3  # of its shopper's row when that is written: packed, in a batch for Kafka, in one for RocksDB
WAITING_BATCHES = 3  # of a partition: two may wait, and what is fetched then
TURNS = 2  # of the worker: one computes, one is committed


def bound_mib(settings: Settings, architecture: Architecture | None = None) -> dict[str, float]:
    """MiB by part: rows in memory, RocksDB, batches under way, base; `total` is their sum."""
    state = (architecture or Architecture()).state_size
    stored = row_dtype(settings.ring_events, state).itemsize
    waiting = settings.partitions * WAITING_BATCHES * settings.batch_records * WAITING_BYTES
    turns = TURNS * settings.batch_records * (RECORD_BYTES + ROW_COPIES * stored)
    rocksdb = int(settings.block_cache_bytes) + 2 * settings.partitions * int(settings.write_buffer_bytes)
    parts = {
        "hot_rows": settings.hot_rows * (stored + SLOT_BYTES) / MIB,
        "rocksdb": rocksdb / MIB,
        "batches": (waiting + turns) / MIB,
        "base": float(BASE_MIB),
    }
    return {**parts, "total": sum(parts.values())}
