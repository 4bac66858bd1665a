"""What rows of event logs share: a log by its loader, folds of shoppers, the sequence model and LightGBM out of fold.

The sequence model is what a worker serves: trained by the replay job's `train`, scored through its ONNX engine.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bench import throwaway
from bench.models.row import NoData
from models import engine, release
from models.architecture import PRESETS
from models.context import opens_session
from models.events import EVENT_TYPES, hash_strings
from models.families.boosting import Boosting
from models.featurizer import DENSE, FeatureSpec
from models.release import Card, Release
from models.replay.dataset import Sequences, build
from models.replay.scoring import score
from models.replay.source import Batch
from models.replay.train import Recipe, Trained, train
from schemas.settings import Settings
from streams import loaders
from streams.loaders import DataMissing

Array = npt.NDArray[Any]
Scores = dict[str, npt.NDArray[np.float64]]

DAY_MS = 86_400_000


def read(name: str) -> Sequences:
    """All events of a loader, by shopper. Raises NoData without its source."""
    dropped: Counter[str] = Counter()
    try:
        return build(_batches(name), Settings().ring_events, dropped)
    except DataMissing as absent:
        raise NoData(str(absent)) from None


def _batches(name: str) -> Any:
    first = 0
    for events in loaders.open(name).events():
        count = events.num_rows
        times = events.column("event_time").cast(pa.int64()).to_numpy()
        yield Batch(events, np.zeros(count, np.int32), np.arange(first, first + count), times)
        first += count


def folds(sequences: Sequences, count: int) -> npt.NDArray[np.int64]:
    """Fold of each shopper (U,), by a hash of the user id."""
    return np.asarray(hash_strings(sequences.users) % np.uint64(count), np.int64)


def recipe(given: Mapping[str, Any], fast: bool) -> Recipe:
    """The recipe of a parameter file: {preset, architecture: {…}, tasks, …}: fields of Architecture and of Recipe."""
    settings = dict(given)
    changes = settings.pop("architecture", {})
    changes = {name: tuple(value) if isinstance(value, list) else value for name, value in changes.items()}
    shape = replace(PRESETS[settings.pop("preset")], **changes)
    settings["tasks"] = tuple(settings["tasks"])
    made = Recipe(architecture=shape, **settings)
    return replace(made, epochs=1) if fast else made


def network(sequences: Sequences, made: Recipe, fold: Array, seeds: int = 1) -> Scores:
    """What the sequence model says of every event, (N,) by task, when it learnt from the other folds' shoppers.

    seeds: so many networks, whose scores are averaged.
    """
    until = int(sequences.events["time"].max()) + 1
    total: Scores = {}
    for one in np.unique(fold):
        learnt = sequences.only(fold != one)
        apart = fold[sequences.shopper] == one
        rows = np.flatnonzero(apart)
        for seed in range(seeds):
            found = _scored(learnt, sequences.only(fold == one), made, until, seed)
            for name, scores in found.items():
                total.setdefault(name, np.zeros(len(sequences)))[rows] += scores / seeds
    return total


def _scored(learnt: Sequences, asked: Sequences, made: Recipe, until: int, seed: int) -> Scores:
    """Scores of all rows of `asked` by a network that learnt from `learnt`."""
    with trained(learnt, made, until, seed) as drafted:
        served = engine.load(drafted.uri, "onnx", "cpu")
    found = np.empty((len(asked), len(served.tasks)), np.float64)
    for rows, scores in score(asked, served, made.features, np.ones(len(asked), bool)):
        found[rows] = scores.tasks
    return dict(zip(served.tasks, found.T, strict=True))


@contextmanager
def trained(learnt: Sequences, made: Recipe, until: int, seed: int) -> Iterator[Release]:
    """A release, in a folder that goes again, of what was learnt from the events before `until` (ms)."""
    found = train(learnt, until, made, seed)
    with tempfile.TemporaryDirectory() as folder:
        yield release.write(folder, card(made, found, seed), found.weights)


def card(made: Recipe, found: Trained, seed: int = 0) -> Card:
    """The card of what was trained."""
    return throwaway.card(
        categories=found.words.names,
        seed=seed,
        git_revision="",
        schema_fingerprint="",
        features=made.features,
        architecture=found.architecture,
        calibration=found.calibration,
        tasks=found.tasks,
    )


def boosted(
    table: Array, labels: Array, known: Array, sequences: Sequences, fold: Array, given: Mapping[str, Any]
) -> npt.NDArray[np.float64]:
    """What LightGBM says of every event (N,) when it learnt from the known rows of the other folds' shoppers."""
    found = np.zeros(len(sequences))
    mine = fold[sequences.shopper]
    for one in np.unique(fold):
        learnt, apart = np.flatnonzero((mine != one) & known), np.flatnonzero(mine == one)
        model = Boosting(**given).fit(table[learnt], labels[learnt], 0, sequences.shopper[learnt])
        found[apart] = model.predict(table[apart])
    return found


def session_table(sequences: Sequences, spec: FeatureSpec) -> npt.NDArray[np.float32]:
    """Aggregates at every event (N, F), itself included, for a model without a sequence.

    What the featurizer says of the event; how many events of each type the session, the last day and all time had; how
    often the session saw this item and this category; its length in events and seconds, and the time since the last
    cart and purchase.
    """
    events, shopper = sequences.events, sequences.shopper
    time, kind = events["time"], events["type"]
    features = sequences.features(spec)
    rows = np.arange(len(sequences))
    session = session_of(sequences, spec)
    begun, first = _begin(session), sequences.bounds[shopper]
    day = _since(sequences, DAY_MS)
    columns = [features.dense[:, DENSE.index(name)] for name in DENSE]
    columns += [
        kind.astype(np.float32),
        events["device"].astype(np.float32),
        (time // 3_600_000 % 24).astype(np.float32),
    ]
    for code in np.unique(kind).tolist():
        running = np.concatenate([[0], np.cumsum(kind == code)])
        columns += [running[rows + 1] - running[start] for start in (begun, day, first)]
        columns.append(_seconds_since(kind == code, first, time))
    columns += [rows - begun, (time - time[begun]) / 1000.0, rows - first]
    columns += [_seen_before(session, events[name]) for name in ("item", "category")]
    columns += [_seen_before(shopper, events[name]) for name in ("item", "category")]
    return np.column_stack(columns).astype(np.float32)


def session_of(sequences: Sequences, spec: FeatureSpec) -> npt.NDArray[np.int64]:
    """Number of each event's session (N,), rising."""
    time = sequences.events["time"]
    opens = np.ones(len(sequences), bool)
    same = sequences.shopper[1:] == sequences.shopper[:-1]
    opens[1:] = ~same | opens_session(time[1:], time[:-1], np.ones(len(same), np.uint32), spec)
    return np.cumsum(opens) - 1


def type_names(sequences: Sequences) -> list[tuple[int, str]]:
    """Code and name of each event type that occurs."""
    return [(int(code), EVENT_TYPES[code]) for code in np.unique(sequences.events["type"])]


def _begin(group: Array) -> Array:
    """Row of the first of each row's group (N,); groups rise."""
    return np.searchsorted(group, group, side="left")


def _since(sequences: Sequences, span: int) -> Array:
    """First row (N,) of the shopper's that lies at most `span` ms before each row."""
    time = sequences.events["time"]
    wide = int(time.max() - time.min()) + span + 1
    key = sequences.shopper * wide + (time - time.min())
    return np.maximum(np.searchsorted(key, key - span, side="left"), sequences.bounds[sequences.shopper])


def _seconds_since(mark: Array, first: Array, time: Array) -> Array:
    """Seconds since the shopper's last marked row, that row included (N,); NaN where there was none."""
    rows = np.arange(len(mark))
    last = np.maximum.accumulate(np.where(mark, rows, -1))
    return np.where(last >= first, (time - time[np.maximum(last, 0)]) / 1000.0, np.nan)


def _seen_before(group: Array, value: Array) -> Array:
    """How many earlier rows of the group have the same value (N,)."""
    order = np.lexsort((np.arange(len(group)), value, group))
    new = np.ones(len(group), bool)
    new[1:] = (group[order][1:] != group[order][:-1]) | (value[order][1:] != value[order][:-1])
    place = np.arange(len(group)) - np.maximum.accumulate(np.where(new, np.arange(len(group)), 0))
    found = np.empty(len(group), np.int64)
    found[order] = place
    return found
