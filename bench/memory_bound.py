"""How much memory a worker may use, from its settings alone: the bound that measurements hold it to."""

from __future__ import annotations

from models.architecture import Architecture
from schemas.settings import Settings
from streams.rows import row_dtype

MIB = 1 << 20
STATE_BYTES = 4  # the matrix holds the model's state in single, a stored row in half precision
STORED_STATE_BYTES = 2
SLOT_BYTES = 256  # of a hot row beside its data: the key as Python object, its place in the index, marks
BASE_MIB = 320  # interpreter, libraries and model: a worker without shoppers
RECORD_BYTES = 2_048  # of a record under way: raw, as columns, its prediction
ROW_COPIES = 3  # of its shopper's row when that is written: packed, in a batch for Kafka, in one for RocksDB
BATCHES = 4  # of one partition: two waiting, one in compute, one in its transaction


def bound_mib(settings: Settings, architecture: Architecture | None = None) -> dict[str, float]:
    """MiB by part: rows in memory, RocksDB, batches under way, base; `total` is their sum."""
    state = (architecture or Architecture()).state_size
    stored = row_dtype(settings.ring_events, state).itemsize
    hot = stored + state * (STATE_BYTES - STORED_STATE_BYTES) + SLOT_BYTES
    under_way = settings.partitions * BATCHES * settings.batch_records
    rocksdb = int(settings.block_cache_bytes) + 2 * settings.partitions * int(settings.write_buffer_bytes)
    parts = {
        "hot_rows": settings.hot_rows * hot / MIB,
        "rocksdb": rocksdb / MIB,
        "batches": under_way * (RECORD_BYTES + ROW_COPIES * stored) / MIB,
        "base": float(BASE_MIB),
    }
    return {**parts, "total": sum(parts.values())}
