"""Heads and predictions of a pass: what the model says of its events, and the records that say so."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.predictions import prediction_batch, prediction_ids
from schemas.codec import Codec
from streams.candidates import Scored, Texts
from streams.decode import Events
from streams.lookups import LookUps
from streams.model import Model

Array = npt.NDArray[Any]
Record = tuple[bytes | None, bytes | None]


@dataclass(slots=True)
class Predicted:
    """at i8 (M,): the events, by position, whose scores are finite. records: their predictions.

    scored: for `decide`, if it is asked for.
    """

    at: Array
    records: list[Record]
    scored: Scored | None

    def between(self, first: int, stop: int) -> Predicted:
        """Of the events from `first` to before `stop`, positions counted from `first`."""
        a, b = np.searchsorted(self.at, [first, stop]).tolist()
        if b - a == len(self.at) and not first:
            return self
        scored = None if self.scored is None else self.scored.between(a, b)
        return Predicted(self.at[a:b] - first, self.records[a:b], scored)


def predict(
    model: Model,
    codec: Codec,
    events: Events,
    trunk: Array,
    at: Array,
    deciding: bool,
    lap: Callable[[str], None],
    context: Array | None = None,
    challenger: bool = False,
) -> Predicted:
    """trunk f4 (M, T) of the events at positions `at` i8 (M,), rising; codec: of the predictions topic.

    deciding: whether `decide` comes after it; context: then, CONTEXT of all events. challenger: whether the model is in
    shadow; its predictions have ids of their own.
    """
    engine = model.engine
    scores = engine.heads(trunk)
    finite = scores.finite()
    if not finite.all():
        at, scores, trunk = at[finite], scores.only(finite), trunk[finite]
    every = len(at) == len(events)
    columns = events.columns if every else events.columns.take(at)
    lap("heads")
    ids = prediction_ids(columns.column("event_id"), engine.release_id if challenger else "")
    batch = prediction_batch(codec.arrow_schema, columns, ids, scores, engine, int(time.time() * 1000))
    users = events.users if every else [events.users[row] for row in at.tolist()]
    records: list[Record] = list(zip(users, codec.encode(batch), strict=True))
    lap("encode")
    if not deciding:
        return Predicted(at, records, None)
    assert context is not None
    packed = events.events if every else events.events[at]
    scored = Scored(
        user_ids=Texts(columns.column("user_id")),
        event_ids=Texts(columns.column("event_id")),
        prediction_ids=Texts(ids),
        event_type=packed["type"],
        event_time=packed["time"],
        tasks=engine.tasks,
        scores=scores.tasks,
        top=scores.top,
        top_scores=scores.top_scores,
        categories=engine.categories,
        popular=model.card.popular,
        release=engine.release_id,
        category_ids=Texts(columns.column("category_id")),
        device=packed["device"],
        properties=Texts(columns.column("properties")),
        context=context if every else context.take(at),
        look_ups=None if model.shelves is None else LookUps(model.shelves, trunk),
    )
    return Predicted(at, records, scored)
