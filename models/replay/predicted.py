"""Predictions as evaluation takes them: published ones (from the topic or its archive), or scored offline by an engine."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from models.engine import Engine
from models.events import hash_names, short_hash
from models.featurizer import FeatureSpec
from models.replay.dataset import Sequences
from models.replay.scoring import score
from models.survival import SURVIVAL_DAYS
from models.tasks import split

Array = npt.NDArray[Any]

COLUMNS = ["user_id", "event_time", "survival", "next_categories"]


@dataclass(frozen=True)
class Predicted:
    """The last prediction of each shopper at each moment, by shopper and then time.

    shopper int64 (P,), position in the sequences' users; time int64 (P,), ms; survival float32 (P, 13); categories
    uint32 (P, 5), hashes of the next categories, best first, 0 where fewer were named; scores float32 (P, K) of `tasks`
    (K,), those that are not read off the survival curve, where they are known.
    """

    shopper: Array
    time: Array
    survival: npt.NDArray[np.float32]
    categories: npt.NDArray[np.uint32]
    scores: npt.NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    tasks: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.shopper)

    def latest(self, shopper: Array, moment: Array, exactly: bool = False) -> npt.NDArray[np.int64]:
        """Position of the shopper's latest prediction at or before the moment (N,) (exactly: at it); -1 = none."""
        if not len(self):
            return np.full(len(shopper), -1)
        low, high = int(self.time.min()) - 1, int(self.time.max())
        span = high - low + 1
        keys = self.shopper * span + (self.time - low)
        asked = np.asarray(shopper, np.int64) * span + np.clip(np.asarray(moment) - low, 0, span - 1)
        at = np.searchsorted(keys, asked, side="right") - 1
        found = np.maximum(at, 0)
        good = (at >= 0) & (self.shopper[found] == shopper)
        return np.where(good & (self.time[found] == moment) if exactly else good, at, -1)

    def before(self, moment: int) -> "Predicted":
        """Those made before the moment (ms)."""
        return self.rows(np.flatnonzero(self.time < moment))

    def rows(self, at: Array) -> "Predicted":
        """Those at positions (N,)."""
        scores = self.scores[at] if self.tasks else self.scores
        return Predicted(
            self.shopper[at], self.time[at], self.survival[at], self.categories[at], scores, self.tasks
        )

    def followed_by(self, later: "Predicted") -> "Predicted":
        """These and the later ones; at the same moment of a shopper the later one counts. Of the survival curve only."""
        wide = max(self.categories.shape[1], later.categories.shape[1])
        named = [
            np.pad(one.categories, ((0, 0), (0, wide - one.categories.shape[1]))) for one in (self, later)
        ]
        return _ordered(
            np.concatenate([self.shopper, later.shopper]),
            np.concatenate([self.time, later.time]),
            np.concatenate([self.survival, later.survival]),
            np.concatenate(named),
        )


def published(tables: Iterable[pa.Table], sequences: Sequences) -> Predicted:
    """From tables with COLUMNS (the Prediction schema's), each in log order. Shoppers without events are left out.

    Raises ValueError when there is none at all, or when its survival grid is another one.
    """
    parts = [table.select(COLUMNS) for table in tables]
    table = pa.concat_tables(parts).combine_chunks() if parts else None
    if table is None or not table.num_rows:
        raise ValueError("no predictions to evaluate; was the worker running while these events came?")
    width = pc.unique(pc.list_value_length(table["survival"])).to_pylist()
    if width != [len(SURVIVAL_DAYS)]:
        raise ValueError(
            f"predictions have survival curves of {width} days, this version reads {len(SURVIVAL_DAYS)}"
        )
    found = pc.index_in(table["user_id"], value_set=sequences.users)
    shopper = pc.fill_null(found, -1).to_numpy().astype(np.int64)
    time = table["event_time"].cast(pa.int64()).to_numpy()
    curves = pc.list_flatten(table["survival"]).to_numpy().reshape(-1, len(SURVIVAL_DAYS))
    return _ordered(shopper, time, curves.astype(np.float32), _hashes(table["next_categories"]))


def offline(sequences: Sequences, engine: Engine, spec: FeatureSpec, since: int) -> Predicted:
    """By an engine over the sequences: one prediction per shopper and moment from `since` (ms) on, and the last before."""
    follows = np.zeros(len(sequences), bool)
    follows[:-1] = (sequences.shopper[1:] == sequences.shopper[:-1]) & (sequences.events["time"][1:] < since)
    extra = split(engine.tasks).extra
    columns = [engine.tasks.index(name) for name in extra]
    rows, curves, categories, others = [], [], [], []
    hashes = hash_names(list(engine.categories))
    for at, scores in score(sequences, engine, spec, sequences.last & ~follows):
        rows.append(at)
        curves.append(scores.survival)
        categories.append(hashes[scores.top])
        others.append(scores.tasks[:, columns])
    at = np.concatenate(rows)
    return _ordered(
        sequences.shopper[at],
        sequences.events["time"][at],
        np.concatenate(curves),
        np.concatenate(categories),
        np.concatenate(others),
        extra,
    )


def _hashes(names: pa.ChunkedArray) -> npt.NDArray[np.uint32]:
    """Hashes (P, K) of lists of names, filled up with 0."""
    lengths = pc.list_value_length(names).to_numpy()
    wide = np.zeros((len(lengths), int(lengths.max(initial=1))), np.uint32)
    wide[np.arange(wide.shape[1]) < lengths[:, None]] = short_hash(pc.list_flatten(names))
    return wide


def _ordered(
    shopper: Array,
    time: Array,
    survival: Array,
    categories: Array,
    scores: Array | None = None,
    tasks: tuple[str, ...] = (),
) -> Predicted:
    order = np.lexsort((np.arange(len(time)), time, shopper))
    order = order[shopper[order] >= 0]
    last = np.ones(len(order), bool)
    last[:-1] = (shopper[order][1:] != shopper[order][:-1]) | (time[order][1:] != time[order][:-1])
    every = Predicted(shopper, time, survival, categories)
    return (every if scores is None else replace(every, scores=scores, tasks=tasks)).rows(order[last])
