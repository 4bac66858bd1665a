"""State on the device is the state that plain steps carry. On the CPU all is the same but for the CUDA graphs."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.architecture import Architecture
from models.carried import Carried, InMemory, carried
from models.engine_torch import EngineTorch
from models.release import Card
from models.resident import COPY_ROWS, Resident
from tests.models.releases import card, random_inputs, written

SHOPPERS = 200
SIZES = (4, 16, 64)

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")
DEVICES = ["cpu", pytest.param("cuda", marks=needs_cuda)]


@pytest.fixture(params=DEVICES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> EngineTorch:
    return loaded(tmp_path, request.param)


@pytest.fixture(params=["in memory", "resident"])
def states(request: pytest.FixtureRequest, engine: EngineTorch) -> Carried:
    """Both places that states can be in, with one way to handle them."""
    return InMemory(engine, SHOPPERS) if request.param == "in memory" else Resident(engine, SHOPPERS, SIZES)


def loaded(folder: Path, device: str = "cpu", precision: str = "float32", **release: object) -> EngineTorch:
    made = written(folder, **release)
    return EngineTorch(made, made.weights(), device, 1, precision)


def batch(of: Card, rows: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ids and dense of one event each of so many shoppers, and their slots: distinct, in any order."""
    ids, dense, _ = random_inputs(of, rows, seed)
    return ids, dense, np.random.default_rng(seed).permutation(SHOPPERS)[:rows]


def test_steps_are_those_of_the_engine_over_many_batches(engine: EngineTorch, states: Carried) -> None:
    of, hidden = card(), np.zeros((SHOPPERS, engine.state_size), np.float32)
    for turn, rows in enumerate([1, 3, 4, 5, 16, 64, 65, 130, 200] * 4):
        ids, dense, slots = batch(of, rows, turn)
        trunk, hidden[slots] = engine.step(ids, dense, hidden[slots])
        assert states.step(ids, dense, slots) == pytest.approx(trunk, abs=1e-5)
    assert states.read(np.arange(SHOPPERS)) == pytest.approx(hidden, abs=1e-5)


def test_padding_and_others_steps_do_not_touch_a_row(states: Carried) -> None:
    rng = np.random.default_rng(1)
    before = rng.normal(size=(SHOPPERS, states.state_size)).astype(np.float32)
    states.write(np.arange(SHOPPERS), before)
    for rows in (1, 5, 17):  # none of them a size of a call
        ids, dense, slots = batch(card(), rows, rows)
        states.step(ids, dense, slots)
        others = np.setdiff1d(np.arange(SHOPPERS), slots)
        after = states.read(np.arange(SHOPPERS))
        assert (after[others] == before[others]).all()
        assert (after[slots] != before[slots]).any(axis=1).all()
        before = after


def test_what_is_written_is_read_and_cleared(states: Carried) -> None:
    rng = np.random.default_rng(2)
    slots = rng.permutation(SHOPPERS)[:70]
    stored = rng.normal(size=(70, states.state_size)).astype(np.float16)
    states.write(slots, stored)
    assert (states.read(slots) == stored).all()
    assert states.read(slots).dtype == np.float32
    states.clear(slots[:7])
    assert (states.read(slots[:7]) == 0).all()
    assert (states.read(slots[7:]) == stored[7:]).all()


def test_more_rows_than_one_copy_takes(engine: EngineTorch) -> None:
    rows = 2 * COPY_ROWS + 3
    hidden = np.random.default_rng(3).normal(size=(rows, engine.state_size)).astype(np.float32)
    states = Resident(engine, rows, SIZES)
    states.write(np.arange(rows), hidden)
    assert (states.read(np.arange(rows)[::-1].copy()) == hidden[::-1]).all()


def test_no_rows_are_no_work(states: Carried, engine: EngineTorch) -> None:
    ids, dense, slots = batch(card(), 0, 0)
    assert states.step(ids, dense, slots).shape == (0, engine.trunk_size)
    assert states.read(slots).shape == (0, engine.state_size)
    states.write(slots, np.zeros((0, engine.state_size), np.float32))
    states.clear(slots)
    assert (states.read(np.arange(SHOPPERS)) == 0).all()


def test_what_was_saved_is_restored(states: Carried) -> None:
    ids, dense, slots = batch(card(), 9, 8)
    states.step(ids, dense, slots)
    before, saved = states.read(slots), states.save(slots)
    states.step(ids, dense, slots)
    assert (states.read(slots) != before).any(axis=1).all()
    states.restore(slots, saved)
    assert (states.read(slots) == before).all()


def test_what_was_returned_stays_as_it_was(states: Carried) -> None:
    ids, dense, slots = batch(card(), 5, 4)
    trunk, hidden = states.step(ids, dense, slots), states.read(slots)
    kept = trunk.copy(), hidden.copy()
    states.step(ids, dense, slots)
    states.read(slots)
    assert (trunk == kept[0]).all()
    assert (hidden == kept[1]).all()


def test_a_step_that_is_not_finite_leaves_the_state(states: Carried) -> None:
    ids, dense, slots = batch(card(), 6, 5)
    states.step(ids, dense, slots)
    before = states.read(slots)
    dense[1, 0], dense[4, 2] = np.nan, np.inf
    trunk = states.step(ids, dense, slots)
    after, bad = states.read(slots), [1, 4]
    assert (after[bad] == before[bad]).all()
    assert (np.isfinite(trunk).all(axis=1) == [True, False, True, True, False, True]).all()
    assert np.isfinite(after).all()
    assert (np.delete(after, bad, 0) != np.delete(before, bad, 0)).any(axis=1).all()


def test_another_release_goes_on_with_the_same_states(engine: EngineTorch, tmp_path: Path) -> None:
    other = loaded(tmp_path / "other", "cuda" if engine.on_gpu else "cpu", seed=9)
    states = Resident(engine, SHOPPERS, SIZES)
    ids, dense, slots = batch(card(), 20, 6)
    states.step(ids, dense, slots)
    hidden = states.read(slots)
    states.use(other)
    assert (states.read(slots) == hidden).all()
    trunk, after = other.step(ids, dense, hidden)
    assert states.step(ids, dense, slots) == pytest.approx(trunk, abs=1e-5)
    assert states.read(slots) == pytest.approx(after, abs=1e-5)


def test_a_release_of_another_shape_but_as_many_floats_takes_over(
    engine: EngineTorch, states: Carried, tmp_path: Path
) -> None:
    flat = loaded(
        tmp_path / "flat",
        "cuda" if engine.on_gpu else "cpu",
        architecture=Architecture(sizes=(32,), head=16, memory=8),
    )
    states.use(flat)
    ids, dense, slots = batch(card(), 20, 6)
    trunk, _ = flat.step(ids, dense, np.zeros((20, flat.state_size), np.float32))
    assert states.step(ids, dense, slots) == pytest.approx(trunk, abs=1e-5)


def test_a_release_of_another_size_is_refused(states: Carried, tmp_path: Path) -> None:
    wider = loaded(tmp_path / "wider", "cpu", architecture=Architecture(sizes=(32, 32), head=16, memory=8))
    with pytest.raises(ValueError, match=r"floats|cannot be stepped"):
        states.use(wider)


def test_states_live_where_the_engine_computes(engine: EngineTorch) -> None:
    assert isinstance(carried(engine, 8), Resident if engine.on_gpu else InMemory)


@needs_cuda
def test_a_call_is_one_graph(tmp_path: Path) -> None:
    """With graphs the host starts one command; a step that is started kernel by kernel takes dozens."""
    engine = loaded(tmp_path, "cuda")
    states = Resident(engine, SHOPPERS, SIZES)
    ids, dense, slots = batch(card(), 16, 7)
    states.step(ids, dense, slots)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        states.step(ids, dense, slots)
    assert not [event.key for event in seen.key_averages() if event.key in ("aten::mm", "aten::sigmoid")]
