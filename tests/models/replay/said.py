"""What releases said of a made-up shop, in the archive's shape: more or less of what then happened, with noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models.replay.dataset import Sequences
from models.replay.history import DAY_MS
from models.survival import SURVIVAL_DAYS

NAMES = ["category 1"]


def curves(of: Sequences, at: np.ndarray, noise: float, seed: int = 0, eager: float = 1.0) -> np.ndarray:
    """Survival (N, 13) after the events `at`, of a constant rate: a shopper's own, known up to so much noise.

    eager: factor on the rate; other than 1 the curves promise too much, or too little.
    """
    rng, purchases = np.random.default_rng(seed), of.purchases
    days = max((purchases.time.max() - purchases.time.min()) / DAY_MS, 1.0)
    rate = np.maximum(np.diff(purchases.first) / days, 1e-3)[of.shopper[at]]
    rate = rate * eager * np.exp(rng.normal(size=len(at)) * noise)
    return np.exp(-rate[:, None] * np.array(SURVIVAL_DAYS)).astype(np.float32)


def table(of: Sequences, release: str, survival: np.ndarray, at: np.ndarray) -> pa.Table:
    """Predictions after the events `at`, as far as the archive's readers look."""
    n = len(at)
    return pa.table(
        {
            "user_id": of.users.take(pa.array(of.shopper[at])),
            "event_time": pa.array(of.events["time"][at], pa.timestamp("ms", "UTC")),
            "release": pa.array([release] * n),
            "survival": pa.array(list(survival), pa.list_(pa.float32())),
            "next_categories": pa.array([NAMES] * n, pa.list_(pa.string())),
        }
    )


def archive(folder: Path, kind: str, rows: pa.Table, number: int = 0) -> None:
    """A file per day; number: of the partition, so that several tables do not meet."""
    days = rows["event_time"].cast(pa.int64()).to_numpy() // DAY_MS
    for day in np.unique(days).tolist():
        target = folder / kind / f"day={np.datetime64(day, 'D')}"
        target.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows.filter(pa.array(days == day)), target / f"{kind}-{number}-0.parquet")
