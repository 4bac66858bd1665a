"""Rows are the same wherever the model's states live: in host memory, or on the device as on a GPU."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from bench.workload import Workload
from models.carried import Carried, InMemory, carried
from models.engine import Engine
from models.engine_torch import EngineTorch
from models.events import hash_strings, pack
from models.resident import Resident
from schemas.codec import Codec
from schemas.registry import open_registry
from schemas.settings import Settings
from streams.challenger import Challenger
from streams.model import Model
from streams.rows import Rows
from streams.sequences import Applied, Sequences
from streams.shadow import Shadow
from tests.models.releases import written

RING, ROWS = 5, 64
Store = dict[bytes, bytes]


def batches(settings: Settings) -> Iterator[pa.RecordBatch]:
    """Events of more shoppers than there are rows, some of them late."""
    schema = Codec(open_registry(settings), "behavior_event").arrow_schema
    for batch in Workload(shoppers=90, events=1_200, days=30.0).batches(schema, size=50):
        order = np.random.default_rng(1).permutation(len(batch))
        yield batch.take(pa.array(np.where(np.arange(len(batch)) % 7, np.arange(len(batch)), order)))


def sequences(hidden: Carried, engine: Engine, release: object, stored: Store) -> Sequences:
    rows = Rows(hidden, RING, lambda users: [stored.get(user) for user in users])
    return Sequences(rows, engine, release.card.features)  # type: ignore[attr-defined]


def apply(
    to: Sequences,
    rows: Rows,
    stored: Store,
    batch: pa.RecordBatch,
    offset: int,
    shadow: Shadow | None = None,
) -> Applied:
    users = [user.encode() for user in batch.column("user_id").to_pylist()]
    slots = rows.locate(users)
    offsets = np.arange(offset, offset + len(users))
    done = to.apply(slots, pack(batch), hash_strings(batch.column("event_id")), offsets, shadow)
    leaving = rows.outgoing()
    stored |= leaving
    rows.settled(leaving)
    return done


@pytest.fixture
def engines(tmp_path: Path) -> list[tuple[Engine, Engine]]:
    """Two releases, each on the CPU and, in the same numbers, as on a GPU."""
    made = []
    for seed in (1, 2):
        release = written(tmp_path / str(seed), seed)
        plain, there = (EngineTorch(release, release.weights(), "cpu", 1) for _ in range(2))
        there.on_gpu = True
        made.append((plain, there))
    return made


def test_rows_on_the_device_are_those_in_memory(
    engines: list[tuple[Engine, Engine]], settings: Settings, tmp_path: Path
) -> None:
    release = written(tmp_path / "card", 1)
    stores: list[Store] = [{}, {}]
    plain, there = engines[0]
    assert isinstance(there, EngineTorch)
    carriers: list[Carried] = [InMemory(plain, ROWS), Resident(there, ROWS, (8, 32))]
    ours = [sequences(c, e, release, s) for c, e, s in zip(carriers, (plain, there), stores, strict=True)]
    late = rebuilt = offset = 0
    for turn, batch in enumerate(batches(settings)):
        if turn == 12:
            for one, engine in zip(ours, engines[1], strict=True):
                one.use(engine)
        done = [
            apply(one, one._rows, stored, batch, offset) for one, stored in zip(ours, stores, strict=True)
        ]
        np.testing.assert_allclose(done[1].trunk, done[0].trunk, atol=1e-5)
        late, rebuilt, offset = late + done[1].late, rebuilt + done[1].rebuilt, offset + len(batch)
    assert late
    assert rebuilt
    assert stores[0].keys() == stores[1].keys() != set()
    one, other = (np.frombuffer(b"".join(s[key] for key in sorted(s)), ours[0]._rows.stored) for s in stores)
    for part in ("meta", "ids", "ring"):
        assert (one[part] == other[part]).all()
    np.testing.assert_allclose(
        other["hidden"].astype("f4"), one["hidden"].astype("f4"), atol=1e-3
    )  # as stored: fp16


def test_a_challenger_on_the_device_says_what_it_says_in_memory(
    engines: list[tuple[Engine, Engine]], settings: Settings, tmp_path: Path
) -> None:
    release = written(tmp_path / "card", 1)
    stores: list[Store] = [{}, {}]
    ours, shadows = [], []
    for stored, champion, engine in zip(stores, engines[0], engines[1], strict=True):
        assert isinstance(champion, EngineTorch)
        made = sequences(carried(champion, ROWS), champion, release, stored)
        challenger = Challenger(engine.release_id, Model(engine, release.card))
        shadows.append(Shadow(challenger, made._rows, release.card.features))
        ours.append(made)
    assert isinstance(shadows[1]._hidden, Resident)
    offset = 0
    for batch in batches(settings):
        for one, shadow, stored in zip(ours, shadows, stores, strict=True):
            apply(one, one._rows, stored, batch, offset, shadow)
        np.testing.assert_allclose(shadows[1].trunk, shadows[0].trunk, atol=1e-5)
        offset += len(batch)
    assert not shadows[0].challenger.dropped
    assert not shadows[1].challenger.dropped
