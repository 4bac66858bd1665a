"""The peer does the worker's job: its inputs, ids and scores for one event are those of the batch code."""

from pathlib import Path

import numpy as np
import pytest

from bench.deployment import untrained_release
from bench.peers.one_event import OneEvent, short_hash, text_hash
from bench.workload import Workload
from models.carried import carried
from models.engine import Engine, load
from models.events import hash_names, hash_strings, pack
from models.featurizer import FeatureSpec
from models.predictions import prediction_ids
from schemas import columns
from schemas.codec import Codec
from schemas.registry import open_registry
from schemas.settings import Settings
from streams.rows import Rows
from streams.sequences import Sequences

SPEC = FeatureSpec()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder: Path = tmp_path_factory.mktemp("releases")
    return load(untrained_release(Settings(releases_uri=str(folder))).uri)


def test_hashes_are_those_of_the_events(settings: Settings):
    names = ["", "a", "item-00042", "Käse & Brot", "x" * 200]
    assert [short_hash(name) for name in names] == hash_names(names).tolist()
    assert text_hash(None) == 0
    assert short_hash(None) == 0


def test_predictions_are_the_workers(engine: Engine, settings: Settings):
    codec = Codec(open_registry(settings), "behavior_event")
    workload = Workload(shoppers=20, events=400, days=60.0)
    rows = Rows(carried(engine, 64), 10, lambda users: [None] * len(users))
    sequences, peer = Sequences(rows, engine, SPEC), OneEvent(engine, SPEC, 10)
    stored: dict[str, bytes] = {}
    at = 0
    for batch in workload.batches(codec.arrow_schema, size=100):
        decoded = codec.decode(codec.encode(batch)).batch
        users = decoded.column("user_id").to_pylist()
        offsets = np.arange(at, at + len(users))
        at += len(users)
        slots = rows.locate([user.encode() for user in users])
        applied = sequences.apply(slots, pack(decoded), hash_strings(decoded.column("event_id")), offsets)
        wanted = engine.heads(applied.trunk)
        ids = prediction_ids(decoded.column("event_id")).to_pylist()
        for place, event in enumerate(columns.plain_rows(decoded)):
            user = event["user_id"]
            stored[user], found = peer.score(stored.get(user), event)
            assert found is not None
            # The peer keeps its state in half precision between events, the worker in single.
            np.testing.assert_allclose(list(found["scores"].values()), wanted.tasks[place], atol=2e-3)
            np.testing.assert_allclose(found["survival"], wanted.survival[place], atol=2e-3)
            assert found["prediction_id"] == ids[place]


def test_a_double_leaves_the_row_as_it_is(engine: Engine):
    peer = OneEvent(engine, SPEC, 10)
    event = {
        "event_id": "e1",
        "user_id": "u1",
        "event_type": "purchase",
        "event_time": 1_700_000_000_000,
        "item_id": None,
        "category_id": None,
        "price": None,
        "quantity": None,
        "device": None,
    }
    row, first = peer.score(None, event)
    again, second = peer.score(row, event)
    assert first is not None
    assert second is None
    assert again == row
