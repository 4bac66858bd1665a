"""First stage of the pass: raw records of one partition -> columns of usable events, and the dead letters.

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

from models.events import hash_strings, pack
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
    """N usable events of one partition in log order.

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
        places = np.arange(len(records))
        sizes = np.array([0 if value is None else len(value) for value in values], np.int64)
        if sizes.max(initial=0) > self._max_bytes:
            places = np.flatnonzero(sizes <= self._max_bytes)
            large = np.flatnonzero(sizes > self._max_bytes).tolist()
            dead += [Dead(records[at], "oversized", self._oversized(int(sizes[at]))) for at in large]
            values = [values[at] for at in places.tolist()]
        decoded = self._codec.decode(values)
        dead += [Dead(records[int(places[bad.index])], bad.reason, bad.message) for bad in decoded.bad]
        places = places[decoded.index]
        columns = decoded.batch
        kept = list(records) if len(places) == len(records) else [records[at] for at in places.tolist()]
        timestamps = np.array([record.timestamp for record in kept], np.int64)
        faults = unusable(columns, timestamps, self._bounds)
        keys = [record.key for record in kept]
        self._check_keys(columns, keys, faults)
        if faults:
            dead += [
                Dead(records[int(places[at])], reason, message) for at, (reason, message) in faults.items()
            ]
            good = np.setdiff1d(np.arange(len(places)), np.fromiter(faults, np.int64))
            columns, timestamps = columns.take(pa.array(good)), timestamps[good]
            kept = [kept[at] for at in good.tolist()]
            keys = [record.key for record in kept]
        offsets = np.array([record.offset for record in kept], np.int64)
        ids = hash_strings(columns.column("event_id"))
        return Events(columns, pack(columns), ids, offsets, timestamps, keys), dead

    @staticmethod
    def _check_keys(
        columns: pa.RecordBatch, keys: list[bytes | None], faults: dict[int, tuple[str, str]]
    ) -> None:
        """The key decides the partition, so it has to be the shopper: else state and order would be split."""
        wanted = columns.column("user_id").cast(pa.binary())
        same = pc.fill_null(pc.equal(pa.array(keys, pa.binary()), wanted), False)
        if pc.all(same).as_py() is False:
            for at in np.flatnonzero(~same.to_numpy(zero_copy_only=False)).tolist():
                message = f"record key is {keys[at]!r}, user_id is {wanted[at].as_py()!r}: key every event by its user_id"
                faults.setdefault(at, ("key_mismatch", message))

    def _oversized(self, size: int) -> str:
        return (
            f"value has {size:,} bytes, the most is {self._max_bytes:,} (INTENTFLOW_MAX_EVENT_BYTES): send less in "
            "properties, or raise the setting"
        )
