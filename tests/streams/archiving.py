"""For the archive's tests: rows of the three topics, and what stands on disk."""

import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from confluent_kafka import Producer

from schemas.codec import Codec
from schemas.kafka import confluent_config
from schemas.registry import open_registry
from schemas.settings import Settings
from schemas.topics import Topics

DAY = 86_400_000
T0 = 1_780_000_000_000 // DAY * DAY  # a midnight in 2026


def event(number: int, user: str = "u1", **changes: Any) -> dict[str, Any]:
    """Event `number` of a shopper; ten to an hour, so that a few hundred span days."""
    moment = T0 + number * 360_000
    row = {
        "event_id": str(uuid.UUID(int=number)),
        "user_id": user,
        "event_type": "page_view",
        "event_time": moment,
    }
    return row | {"properties": {"n": str(number)}} | changes


def prediction(number: int) -> dict[str, Any]:
    return {
        "prediction_id": f"p{number}",
        "event_id": f"e{number}",
        "user_id": "u1",
        "event_time": T0 + number * 360_000,
        "scored_at": T0,
        "release": "r1",
        "scores": {"buy_7d": 0.5},
        "survival": [0.9, 0.8],
        "next_categories": ["milk"],
        "next_category_scores": [0.25],
    }


def decision(number: int) -> dict[str, Any]:
    return {
        "decision_id": f"d{number}",
        "event_id": f"e{number}",
        "prediction_id": f"p{number}",
        "user_id": "u1",
        "event_time": T0 + number * 360_000,
        "decided_at": T0,
        "campaign": "c",
        "kind": "coupon",
        "outcome": "emit",
        "reason": "emitted",
        "eligible": ["coupon"],
        "propensity": 1.0,
        "score": 0.5,
        "threshold": 0.4,
        "value": 1.0,
        "cost": 0.1,
        "release": "r1",
        "policy_version": "v1",
        "intervention_id": None,
        "scores": {"buy_7d": 0.5},
    }


def outcome(number: int) -> dict[str, Any]:
    return {
        "outcome_id": f"o{number}",
        "decision_id": f"d{number}",
        "user_id": "u1",
        "kind": "none",
        "outcome_time": T0,
        "event_time": T0 + number * 360_000,
    }


class Wire:
    """Writes rows, or bytes that are none, to the topics with a plain producer and chosen partitions."""

    def __init__(self, settings: Settings, **config: Any) -> None:
        self._topics, self._registry = Topics(settings), open_registry(settings)
        self.producer = Producer(confluent_config(settings, linger_ms=20, **config))

    def rows(self, schema: str, rows: list[dict[str, Any]], partition: int = 0) -> None:
        """schema: as `Topics.of_schema` knows it; a challenger's predictions are predictions."""
        values = Codec(self._registry, schema.removeprefix("shadow_")).encode_rows(rows)
        timestamps = [row["event_time"] + 1 for row in rows]
        for row, value, timestamp in zip(rows, values, timestamps, strict=True):
            self.raw(schema, value, partition, row["user_id"].encode(), timestamp)

    def raw(
        self, schema: str, value: bytes | None, partition: int, key: bytes = b"u1", timestamp: int = T0
    ) -> None:
        topic = self._topics.of_schema(schema)
        while True:
            try:
                self.producer.produce(topic, value, key, partition=partition, timestamp=timestamp)
                return
            except BufferError:
                self.producer.poll(0.1)

    def flush(self) -> None:
        assert self.producer.flush(30) == 0


def files(settings: Settings, kind: str = "*") -> list[Path]:
    return sorted(Path(settings.archive_uri).glob(f"{kind}/day=*/*.parquet"))


def archived(settings: Settings, kind: str) -> pa.Table:
    """All rows of a kind, by partition and offset."""
    tables = [pq.ParquetFile(path).read() for path in files(settings, kind)]
    return pa.concat_tables(tables).sort_by([("_partition", "ascending"), ("_offset", "ascending")])


def places(settings: Settings, kind: str) -> list[tuple[int, int]]:
    """(partition, offset) of every row on disk, doubles included."""
    table = archived(settings, kind)
    return list(zip(table["_partition"].to_pylist(), table["_offset"].to_pylist(), strict=True))
