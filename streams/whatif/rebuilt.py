"""A scored batch rebuilt from events and their archived predictions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models import promotion
from models.context import CONTEXT, context_within
from models.featurizer import FeatureSpec
from models.release import Card, ReleaseProblem
from models.replay.dataset import Sequences
from schemas.settings import Settings
from streams.candidates import Scored

Array = npt.NDArray[Any]
_LISTS = ("user_ids", "event_ids", "prediction_ids", "category_ids", "properties")
_ARRAYS = ("event_type", "event_time", "scores", "top", "top_scores", "device", "context")


def card_of(settings: Settings, release: str) -> Card | None:
    """What is said of the release; None when it is no longer there."""
    try:
        return promotion.find(settings, release).card
    except (ReleaseProblem, OSError):
        return None


def rebuilt(
    sequences: Sequences,
    rows: Array,
    predictions: pa.Table,
    release: str,
    card: Card | None,
    words: dict[str, list[tuple[str, str]]],
) -> Scored:
    """The rows (N,) of the sequences with their predictions (N rows); words: properties by event id."""
    events, ids = sequences.events[rows], predictions["event_id"].to_pylist()
    scores = predictions["scores"].combine_chunks()
    tasks = card.tasks if card is not None else tuple(key for key, _ in scores[0].as_py())
    named = predictions["next_categories"].combine_chunks()
    names = named.flatten().dictionary_encode()
    width = len(names) // max(len(rows), 1)
    chances = predictions["next_category_scores"].combine_chunks().flatten().to_numpy()
    spec = card.features if card is not None else FeatureSpec()
    start = np.zeros(len(sequences.users), CONTEXT)
    return Scored(
        user_ids=sequences.users.take(pa.array(sequences.shopper[rows])).to_pylist(),
        event_ids=ids,
        prediction_ids=predictions["prediction_id"].to_pylist(),
        event_type=events["type"],
        event_time=events["time"],
        tasks=tasks,
        scores=_matrix(scores, tasks),
        top=names.indices.to_numpy().reshape(-1, width),
        top_scores=chances.astype(np.float32).reshape(-1, width),
        categories=names.dictionary.to_pylist(),
        popular={} if card is None else card.popular,
        release=release,
        category_ids=[sequences.category_names.get(code) for code in events["category"].tolist()],
        device=events["device"],
        properties=[words.get(one, ()) for one in ids],
        context=context_within(sequences.shopper, sequences.events, start, spec)[rows],
    )


def _matrix(scores: pa.MapArray, tasks: tuple[str, ...]) -> npt.NDArray[np.float32]:
    """(N, len(tasks)) of a column of maps by task; one release writes the same tasks in the same order."""
    names = scores.keys[: len(scores.keys) // max(len(scores), 1)].to_pylist()
    table = scores.items.to_numpy(zero_copy_only=False).reshape(len(scores), -1)
    return np.asarray(table[:, [names.index(task) for task in tasks]], np.float32)


def taken(scored: Scored, rows: Array) -> Scored:
    """Some rows of a batch whose columns are lists and arrays."""
    if len(rows) == len(scored.event_type) and (rows == np.arange(len(rows))).all():
        return scored
    places = rows.tolist()
    columns: dict[str, Any] = {name: [getattr(scored, name)[at] for at in places] for name in _LISTS}
    columns |= {name: getattr(scored, name)[rows] for name in _ARRAYS}
    return replace(scored, **columns)
