"""First stage of the pass: raw records of some partitions -> columns of usable events, and the dead letters.

Whatever cannot be used is set aside with a reason and does not touch the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from models.events import pack_with_ids
from models.usable import Bounds, unusable
from schemas.codec import Codec

Array = npt.NDArray[Any]


@dataclass(slots=True)
class Dead:
    """A record that cannot be used. `record` is the raw record with key, value, headers, offset, timestamp."""

    record: Any
    reason: str
    message: str


@dataclass(slots=True)
class Events:
    """N usable events, partition by partition in log order.

    columns: decoded Arrow batch (N rows); events: EVENT (N,); ids u8 (N,); offsets i8 (N,); timestamps i8 (N,), record
    timestamps in ms; users: record keys = user ids as bytes.
    """

    columns: pa.RecordBatch
    events: Array
    ids: Array
    offsets: Array
    timestamps: Array
    users: list[bytes]

    def __len__(self) -> int:
        return len(self.users)

    def between(self, first: int, stop: int) -> Events:
        """The events from `first` to before `stop`."""
        return Events(
            self.columns.slice(first, stop - first),
            self.events[first:stop],
            self.ids[first:stop],
            self.offsets[first:stop],
            self.timestamps[first:stop],
            self.users[first:stop],
        )


class Decoder:
    """Decodes batches of behaviour events. `max_bytes`: larger records are refused before decoding."""

    def __init__(self, codec: Codec, bounds: Bounds, max_bytes: int) -> None:
        self._codec, self._bounds, self._max_bytes = codec, bounds, max_bytes

    def decode(self, records: Sequence[Any]) -> tuple[Events, list[Dead]]:
        """Usable events of raw records, in order, and a `Dead` for every other record."""
        values = [record.value for record in records]
        dead: list[Dead] = []
        kept = records
        if self._any_oversized(values):
            kept = self._without_oversized(records, dead)
            values = [record.value for record in kept]
        decoded = self._codec.decode(values)
        columns = decoded.batch
        if decoded.bad:
            dead += [Dead(kept[bad.index], bad.reason, bad.message) for bad in decoded.bad]
            kept = [kept[at] for at in decoded.index.tolist()]
        timestamps = np.array([record.timestamp for record in kept], np.int64)
        keys = [record.key for record in kept]
        faults = unusable(columns, timestamps, self._bounds)
        self._check_keys(columns, keys, faults)
        if faults:
            dead += [Dead(kept[at], reason, message) for at, (reason, message) in faults.items()]
            good = np.setdiff1d(np.arange(len(kept)), np.fromiter(faults, np.int64))
            columns, timestamps = columns.take(pa.array(good)), timestamps[good]
            kept = [kept[at] for at in good.tolist()]
            keys = [record.key for record in kept]
        events, ids = pack_with_ids(columns)
        offsets = np.array([record.offset for record in kept], np.int64)
        return Events(columns, events, ids, offsets, timestamps, keys), dead

    @staticmethod
    def _check_keys(
        columns: pa.RecordBatch, keys: list[bytes | None], faults: dict[int, tuple[str, str]]
    ) -> None:
        """The key decides the partition, so it has to be the shopper: else state and order would be split."""
        found, wanted = pa.array(keys, pa.binary()), columns.column("user_id").view(pa.binary())
        if found.equals(wanted):
            return
        same = pc.fill_null(pc.equal(found, wanted), False)
        for at in np.flatnonzero(~same.to_numpy(zero_copy_only=False)).tolist():
            message = f"record key is {keys[at]!r}, user_id is {wanted[at].as_py()!r}: key every event by its user_id"
            faults.setdefault(at, ("key_mismatch", message))

    def _any_oversized(self, values: list[bytes | None]) -> bool:
        try:
            return max(map(len, values), default=0) > self._max_bytes  # type: ignore[arg-type]
        except TypeError:  # a null among them
            return any(value is not None and len(value) > self._max_bytes for value in values)

    def _without_oversized(self, records: Sequence[Any], dead: list[Dead]) -> list[Any]:
        kept = []
        for record in records:
            size = 0 if record.value is None else len(record.value)
            if size > self._max_bytes:
                dead.append(Dead(record, "oversized", self._oversized(size)))
            else:
                kept.append(record)
        return kept

    def _oversized(self, size: int) -> str:
        return (
            f"value has {size:,} bytes, the most is {self._max_bytes:,} (INTENTFLOW_MAX_EVENT_BYTES): send less in "
            "properties, or raise the setting"
        )
