"""What events tell of a shopper beside what the shopper did: consent, and the time zone."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streams.contacts import ZONE, read_consent


def told(columns: pa.RecordBatch | pa.Table, row: int) -> tuple[str, bool] | None:
    """(channel, granted) of a consent event; None when it is not understood."""
    return read_consent(dict(columns.column("properties")[row].as_py() or {}))


def zones_told(columns: pa.RecordBatch) -> dict[int, str]:
    """The property time_zone of the events that have one, by row."""
    properties = columns.column("properties")
    if not len(properties.keys):
        return {}
    places = np.flatnonzero(pc.equal(properties.keys, ZONE).to_numpy(zero_copy_only=False))
    rows = np.searchsorted(properties.offsets.to_numpy(), places, side="right") - 1
    return dict(zip(rows.tolist(), properties.items.take(pa.array(places)).to_pylist(), strict=True))
