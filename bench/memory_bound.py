"""How much memory a worker may use, from its settings alone: the bound that measurements hold it to."""

from __future__ import annotations

from models.architecture import Architecture
from schemas.settings import Settings
from streams.contacts import CACHED
from streams.rows import row_dtype

MIB = 1 << 20
SLOT_BYTES = 256  # of a hot row beside its data: the key as Python object, its place in the index, marks
CONTACT_BYTES = 320  # of a cached contact that is empty, as nearly all are: object, key, place in the index
BASE_MIB = 320  # interpreter, libraries and model: a worker without shoppers
WAITING_BYTES = 1_024  # of a record that waits: as it came, a Python object
RECORD_BYTES = 2_048  # of a record in a turn: raw, as columns, its prediction
ROW_COPIES = 3  # of a row that is written: packed, in a batch for Kafka, in one for RocksDB
WAITING_BATCHES = 3  # of a partition: two may wait, and what is fetched then
TURNS = 3  # of the worker: one computes, one is committed, one goes into the stores
TURN_S = 0.5  # a slow one: its share of a checkpoint goes by the time that it took


def bound_mib(settings: Settings, architecture: Architecture | None = None) -> dict[str, float]:
    """MiB by part: rows in memory, RocksDB, contacts, records that wait, turns under way, base; `total` is their sum."""
    state = (architecture or Architecture()).state_size
    stored = row_dtype(settings.ring_events, state).itemsize
    waiting = settings.partitions * WAITING_BATCHES * settings.batch_records * WAITING_BYTES
    share = settings.hot_rows * TURN_S / settings.checkpoint_interval_s
    rows = settings.batch_records + min(share, settings.hot_rows)  # evicted, and of the checkpoint
    turn = settings.batch_records * RECORD_BYTES + rows * ROW_COPIES * stored
    rocksdb = int(settings.block_cache_bytes) + 2 * settings.partitions * int(settings.write_buffer_bytes)
    parts = {
        "hot_rows": settings.hot_rows * (stored + SLOT_BYTES) / MIB,
        "rocksdb": rocksdb / MIB,
        "contacts": settings.partitions * CACHED * CONTACT_BYTES / MIB,
        "waiting": waiting / MIB,
        "turns": TURNS * turn / MIB,
        "base": float(BASE_MIB),
    }
    return {**parts, "total": sum(parts.values())}
