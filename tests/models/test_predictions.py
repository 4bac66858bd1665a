"""Rows of the topic `predictions`: their ids, and that they read back as the scores they were made from."""

import uuid
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.engine import Engine, Scores
from models.predictions import NAMESPACE, prediction_batch, prediction_ids
from schemas.codec import Codec
from schemas.registry import FileRegistry

CODEC = Codec(FileRegistry(), "prediction")


@given(st.lists(st.text(max_size=80)), st.integers(0, 5))
def test_ids_are_uuid5_of_the_event_id_in_any_slice(names: list[str], first: int) -> None:
    ids = prediction_ids(pa.array(names, pa.string()).slice(first))
    assert ids.to_pylist() == [str(uuid.uuid5(NAMESPACE, f"prediction:{name}")) for name in names[first:]]


@pytest.mark.parametrize("top", [0, 1, 3])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 9])
def test_rows_read_back_as_the_scores(n: int, top: int) -> None:
    rng = np.random.default_rng(n)
    categories, tasks = ("", "bröd", "SOFT DRINKS"), ("buy_7d", "lapse_30d")
    engine = cast(Engine, SimpleNamespace(release_id="r-1", tasks=tasks, categories=categories))
    scores = Scores(
        rng.random((n, 2), np.float32),
        rng.random((n, 13), np.float32),
        rng.integers(0, 3, (n, top), np.int32),
        rng.random((n, top), np.float32),
    )
    names = [f"event {at}" for at in range(n)]
    columns = {
        "event_id": pa.array(names, pa.string()),
        "user_id": pa.array([f"user {at}" for at in range(n)], pa.string()),
        "event_time": pa.array(np.arange(n) * 1000, pa.timestamp("ms")),
    }
    ids = prediction_ids(columns["event_id"])
    batch = prediction_batch(CODEC.arrow_schema, pa.record_batch(columns), ids, scores, engine, 77)

    rows = CODEC.decode_rows(CODEC.encode(batch))

    assert rows == [row(at, scores, tasks, categories) for at in range(n)]


def row(at: int, scores: Scores, tasks: tuple[str, ...], categories: tuple[str, ...]) -> dict[str, Any]:
    return {
        "prediction_id": str(uuid.uuid5(NAMESPACE, f"prediction:event {at}")),
        "event_id": f"event {at}",
        "user_id": f"user {at}",
        "event_time": at * 1000,
        "scored_at": 77,
        "release": "r-1",
        "scores": dict(zip(tasks, scores.tasks[at].tolist(), strict=True)),
        "survival": scores.survival[at].tolist(),
        "next_categories": [categories[place] for place in scores.top[at].tolist()],
        "next_category_scores": scores.top_scores[at].tolist(),
    }


def test_a_challengers_ids_are_its_own_for_each_release() -> None:
    events = pa.array(["e1", "e2"])
    found = prediction_ids(events, "intent-a").to_pylist()
    assert found == [str(uuid.uuid5(NAMESPACE, f"shadow:intent-a:{name}")) for name in ("e1", "e2")]
    assert not {*found} & {
        *prediction_ids(events).to_pylist(),
        *prediction_ids(events, "intent-b").to_pylist(),
    }
