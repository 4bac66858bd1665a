"""The events of a scored batch that are looked at one by one, as `Moment`s."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from models.events import EVENT_TYPES
from models.item_head import Next
from streams.candidates import Scored
from streams.catalogue import Catalogue
from streams.interventions import Moment


def moments(
    scored: Scored,
    rows: list[int],
    now: int | None,
    catalogue: Catalogue | None,
    items: Mapping[int, Sequence[Next]],
) -> Iterator[Moment]:
    """A moment for each of these rows, in their order, the columns of all read at once. now, catalogue: see `Moment`;
    items: what was looked up, by row."""
    if not rows:
        return
    context = scored.context[rows]
    columns = zip(
        rows,
        scored.event_type[rows].tolist(),
        scored.event_time[rows].tolist(),
        scored.scores[rows].tolist(),
        scored.top[rows].tolist(),
        scored.top_scores[rows].tolist(),
        scored.device[rows].tolist(),
        np.ascontiguousarray(context).view(f"V{context.itemsize}").tolist(),
        context["events"].tolist(),
        context["sessions"].tolist(),
        context["purchase_time"].tolist(),
        context["previous_time"].tolist(),
        context["first_time"].tolist(),
        strict=True,
    )
    for row, kind, time, scores, top, top_scores, device, *past in columns:
        yield Moment(
            user_id=scored.user_ids[row],
            event_id=scored.event_ids[row],
            prediction_id=scored.prediction_ids[row],
            event_type=EVENT_TYPES[kind],
            event_time=time,
            scores=dict(zip(scored.tasks, scores, strict=True)),
            top=top,
            top_scores=top_scores,
            categories=scored.categories,
            popular=scored.popular,
            category_id=scored.category_ids[row],
            device=device,
            properties=scored.properties[row] or (),
            context=past[0],
            events=past[1],
            sessions=past[2],
            purchased=past[3],
            latest=past[4],
            first=past[5],
            now=now,
            at=time,
            catalogue=catalogue,
            items=items.get(row),
        )
