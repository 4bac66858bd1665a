"""What training saw: the distribution of every feature and score over its last days, kept beside a release's weights.

Rows are moments (the last event of each) of some shoppers, those of the training interval's last WINDOW_DAYS: the rows
before are of shoppers whose history had just begun, and every later day would differ from them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.drift import psi
from models.engine import Engine
from models.events import DEVICES, EVENT_TYPES
from models.featurizer import DENSE, FeatureSpec
from models.release import OTHER, Release, ReleaseProblem
from models.replay.dataset import Sequences
from models.replay.scoring import score
from models.replay.source import Interval, SourceProblem

Array = npt.NDArray[Any]

REFERENCE_FILE = "reference.json"
WINDOW_DAYS = 90
SHOPPERS = 2000  # looked at: distributions need no more
POINTS = 200  # order statistics that stand for a distribution
TOP = 20  # categories told apart
_FORMAT = 1


@dataclass(frozen=True)
class Column:
    """Distribution of one column. kind: feature, score, category.

    edges: inner edges of its bins, labels: names of its values when it has no order; counts: rows by bin or label.
    points: order statistics of one row per shopper, empty for labels. shoppers: how many those stand for.
    """

    name: str
    kind: str
    edges: tuple[float, ...]
    labels: tuple[str, ...]
    counts: tuple[int, ...]
    points: tuple[float, ...]
    shoppers: int


@dataclass(frozen=True)
class Sample:
    """Rows of some shoppers. row: int64 (N,) in the sequences, by shopper. shopper: int64 (N,). scores: (N, tasks).

    numbers: float32 (N,) by name of feature or score; words: values (N,) by name of a column without order.
    """

    row: Array
    shopper: Array
    scores: Array
    numbers: Mapping[str, Array]
    words: Mapping[str, Array]

    @property
    def one_each(self) -> Array:
        """Positions (S,) of one row per shopper, any: the same at every run."""
        order = np.random.default_rng(0).permutation(len(self.row))
        return np.asarray(order[np.unique(self.shopper[order], return_index=True)[1]])


def sample(
    sequences: Sequences, engine: Engine, spec: FeatureSpec, interval: Interval, shoppers: int = SHOPPERS
) -> Sample:
    """Features and scores at the moments within the interval. SourceProblem when there are none."""
    wanted = sequences.last & interval.holds(sequences.events["time"])
    active = np.unique(sequences.shopper[wanted])
    if not len(active):
        raise SourceProblem(f"no event in {interval}: nothing to compare; choose another interval")
    chosen = np.zeros(len(sequences.users), bool)
    chosen[np.random.default_rng(0).permutation(active)[:shoppers]] = True
    wanted &= chosen[sequences.shopper]
    rows, dense, scores = [], [], []
    for at, found in score(sequences, engine, spec, wanted):
        first, last = sequences.bounds[sequences.shopper[at[[0, -1]]] + [0, 1]]
        rows.append(at)
        dense.append(sequences.features(spec, slice(int(first), int(last))).dense[at - first])
        scores.append(found.tasks)
    row, tasks = np.concatenate(rows), np.concatenate(scores)
    numbers = dict(zip(DENSE, np.concatenate(dense).T, strict=True))
    numbers |= dict(zip(engine.tasks, tasks.T, strict=True))
    events = sequences.events[row]
    words = {
        "event_type": np.array(EVENT_TYPES)[events["type"]],
        "device": np.array(DEVICES)[events["device"]],
        "category": _names(events["category"], sequences.category_names),
    }
    return Sample(row, sequences.shopper[row], tasks, numbers, words)


def describe(found: Sample, tasks: tuple[str, ...]) -> tuple[Column, ...]:
    """The distribution of every column of a sample."""
    each = found.one_each
    columns = []
    for name, values in found.numbers.items():
        inner, alone = psi.edges(values), np.sort(values[each])
        points = alone[np.linspace(0, len(alone) - 1, min(POINTS, len(alone))).round().astype(int)]
        counts, kind = psi.counts(values, inner), "score" if name in tasks else "feature"
        columns.append(
            Column(name, kind, _rounded(inner), (), tuple(counts.tolist()), _rounded(points), len(alone))
        )
    for name, texts in found.words.items():
        labels, counts = np.unique(texts[texts != OTHER], return_counts=True)
        top = tuple(labels[np.argsort(-counts, kind="stable")[:TOP]].tolist())
        columns.append(
            Column(name, "category", (), (*top, OTHER), tuple(by_label(texts, top).tolist()), (), len(each))
        )
    return tuple(columns)


def by_label(texts: Array, labels: tuple[str, ...]) -> npt.NDArray[np.int64]:
    """Rows by label, those of none of them last: (len(labels) + 1,)."""
    counts = [int((texts == label).sum()) for label in labels]
    return np.array([*counts, len(texts) - sum(counts)], np.int64)


def window(learnt: Interval) -> Interval:
    """The part of the training interval that a reference is taken from."""
    return Interval(max(learnt.start, learnt.stop - WINDOW_DAYS * 86_400_000), learnt.stop)


def to_json(columns: tuple[Column, ...]) -> bytes:
    """The file's bytes."""
    return json.dumps(
        {"format": _FORMAT, "columns": [asdict(one) for one in columns]}, ensure_ascii=False
    ).encode()


def read(release: Release) -> tuple[Column, ...]:
    """The reference of a release. ReleaseProblem when it has none."""
    data = release.beside(REFERENCE_FILE)
    if data is None:
        raise ReleaseProblem(
            f"{release.uri}: no {REFERENCE_FILE}, it was trained before drift was measured; train a new one "
            "(`intentflow replay run`)"
        )
    try:
        found = json.loads(data)
        if found["format"] != _FORMAT:
            raise ValueError(f"format {found['format']}")
        return tuple(_column(one) for one in found["columns"])
    except (KeyError, TypeError, ValueError) as problem:
        raise ReleaseProblem(
            f"{release.uri}: {REFERENCE_FILE} is not as written ({problem}); copy the release again or train a new one"
        ) from problem


def _column(found: dict[str, Any]) -> Column:
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in found.items()
    }
    return Column(**values)


def _names(hashes: Array, names: Mapping[int, str]) -> Array:
    known, at = np.unique(hashes, return_inverse=True)
    return np.array([names.get(int(code), OTHER) for code in known])[at]


def _rounded(values: Array) -> tuple[float, ...]:
    """As float32 prints; to be compared, they are made float32 again: a value on an edge must stay on it."""
    return tuple(float(str(np.float32(one))) for one in values)
