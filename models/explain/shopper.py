"""One shopper's events, as topics hold them, to the inputs of a release's network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from models.featurizer import Features, FeatureSpec
from models.replay import source
from models.replay.dataset import build
from models.replay.source import Batch, Interval
from schemas import avro, columns
from schemas.settings import Settings

Row = Mapping[str, Any]

_ALWAYS = Interval(-(1 << 62), 1 << 62)


def features_of(rows: Sequence[Row], spec: FeatureSpec, settings: Settings) -> tuple[list[str], Features]:
    """Ids of the events that count, and their inputs (T, …). rows: of one shopper, in the order of the log.

    Doubles and what the live path would not score are left out. Raises SourceProblem when nothing is left.
    """
    schema = columns.arrow_schema(avro.parse(avro.current("behavior_event")))
    plain = [dict(row) | {"properties": list(dict(row["properties"]).items())} for row in rows]
    batch = pa.RecordBatch.from_pylist(plain, schema=schema)
    times = batch.column("event_time").cast(pa.int64()).to_numpy(zero_copy_only=False)
    whole = Batch(batch, np.zeros(len(rows), np.int32), np.arange(len(rows)), times)
    usable = source.usable(iter([whole]), source.bounds(settings), _ALWAYS, Counter())
    found = build(usable, settings.ring_events, Counter(), keep_ids=True)
    ids: list[str] = [] if found.event_ids is None else found.event_ids.to_pylist()
    return ids, found.features(spec)
