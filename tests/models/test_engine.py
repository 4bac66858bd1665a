"""Both backends serve the same release with the same numbers."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models import engine, survival
from models.architecture import Architecture, Calibration
from models.engine_onnx import CHUNK_ROWS
from models.network import weights_of
from models.release import OTHER, ReleaseProblem, write
from models.tasks import expanded
from tests.models.releases import CATEGORIES, SKEWED, TRUNKS, card, random_inputs, untrained, written

BACKENDS = ["onnx", "torch"]


@pytest.fixture(params=TRUNKS)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[engine.Engine, engine.Engine]:
    """The same release in both backends."""
    of = written(tmp_path, architecture=TRUNKS[request.param], calibration=SKEWED)
    return engine.load(of.uri, "onnx", "cpu"), engine.load(of.uri, "torch", "cpu")


def test_backends_agree_over_many_steps(pair: tuple[engine.Engine, engine.Engine]) -> None:
    onnx, torch = pair
    of = card()
    states = [np.zeros((33, onnx.state_size), np.float32)] * 2
    for turn in range(40):
        ids, dense, _ = random_inputs(of, 33, turn)
        (trunk, states[0]), (other, states[1]) = (
            onnx.step(ids, dense, states[0]),
            torch.step(ids, dense, states[1]),
        )
        assert trunk == pytest.approx(other, abs=1e-5)
        assert states[0] == pytest.approx(states[1], abs=1e-5)
        one, two = onnx.heads(trunk), torch.heads(trunk)
        assert one.tasks == pytest.approx(two.tasks, abs=1e-5)
        assert one.survival == pytest.approx(two.survival, abs=1e-5)
        assert one.top_scores == pytest.approx(two.top_scores, abs=1e-5)
        assert (one.top == two.top).all()


@pytest.mark.parametrize("kind", ["lstm of two layers", "lstm with habits and recall"])
def test_backends_agree_on_tasks_with_a_head_of_their_own(kind: str, tmp_path: Path) -> None:
    tasks = expanded(("buy_7d", "session_buy", "returns_30m", "orders_30d", "spend_30d", "next_type"))
    moved = Calibration(extra_scale=(0.5,) * (len(tasks) - 1), extra_shift=(1.0,) * (len(tasks) - 1))
    of = card(tasks=tasks, calibration=moved, architecture=TRUNKS[kind])
    network = untrained(of)
    uri = write(str(tmp_path), of, weights_of(network)).uri
    onnx, torch = (engine.load(uri, backend, "cpu") for backend in BACKENDS)
    trunk = np.random.default_rng(0).normal(size=(50, onnx.trunk_size)).astype(np.float32)
    one, two = onnx.heads(trunk).tasks, torch.heads(trunk).tasks
    assert one == pytest.approx(two, abs=1e-5)
    import torch as of_torch

    with of_torch.inference_mode():
        logits = network.heads(of_torch.from_numpy(trunk)).extra.numpy() * 0.5 + 1.0
    assert one[:, 1:3] == pytest.approx(1 / (1 + np.exp(-logits[:, :2])), abs=1e-5)
    assert one[:, 3:5] == pytest.approx(np.exp(logits[:, 2:4]), rel=1e-5)
    assert one[:, 5:].sum(1) == pytest.approx(np.ones(50), abs=1e-5)


def test_products_of_8_bits_stay_close(tmp_path: Path) -> None:
    of = written(tmp_path, architecture=Architecture(sizes=(64, 64), head=16, memory=8))
    exact, rounded = (engine.load(of.uri, "onnx", "cpu", precision=kind) for kind in ("float32", "int8"))
    hidden = [np.zeros((64, exact.state_size), np.float32)] * 2
    for turn in range(20):
        ids, dense, _ = random_inputs(of.card, 64, turn)
        (one, hidden[0]), (other, hidden[1]) = (
            served.step(ids, dense, state) for served, state in zip((exact, rounded), hidden, strict=True)
        )
    assert not np.array_equal(one, other)
    assert exact.heads(one).tasks == pytest.approx(rounded.heads(other).tasks, abs=0.02)


def test_precisions_of_a_gpu_are_refused_on_the_cpu_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="float32 or int8: set engine_precision float16 back"):
        engine.load(written(tmp_path).uri, "onnx", "cpu", precision="float16")


@pytest.mark.parametrize("backend", BACKENDS)
def test_heads_follow_the_formulas(backend: str, tmp_path: Path) -> None:
    of = card(calibration=SKEWED)
    network = untrained(of)
    serving = engine.load(write(str(tmp_path), of, weights_of(network)).uri, backend, "cpu")
    trunk = np.random.default_rng(0).normal(size=(50, serving.trunk_size)).astype(np.float32)
    import torch

    with torch.inference_mode():
        hazard, logits = (part.numpy() for part in network.heads(torch.from_numpy(trunk))[:2])
    curve = survival.survival(hazard * np.array(SKEWED.hazard_scale) + np.array(SKEWED.hazard_shift))
    shares = np.exp(logits / SKEWED.category_temperature)
    shares /= shares.sum(1, keepdims=True)
    got = serving.heads(trunk)
    assert got.survival == pytest.approx(curve, abs=1e-5)
    assert got.tasks == pytest.approx(survival.scores(curve, serving.tasks), abs=1e-5)
    assert got.top_scores == pytest.approx(np.take_along_axis(shares, got.top.astype(int), 1), abs=1e-5)
    assert got.top_scores == pytest.approx(-np.sort(-shares[:, :-1], 1)[:, :5], abs=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_chunks_and_companions_do_not_change_a_row(backend: str, tmp_path: Path) -> None:
    release = written(tmp_path)
    serving = engine.load(release.uri, backend, "cpu")
    ids, dense, hidden = random_inputs(release.card, CHUNK_ROWS + 3)
    trunk, after = serving.step(ids, dense, hidden)
    for row in (0, CHUNK_ROWS - 1, CHUNK_ROWS, CHUNK_ROWS + 2):
        alone = slice(row, row + 1)
        assert serving.step(ids[alone], dense[alone], hidden[alone])[1] == pytest.approx(
            after[alone], abs=1e-5
        )
        scores, single = serving.heads(trunk), serving.heads(trunk[alone])
        assert single.tasks == pytest.approx(scores.tasks[alone], abs=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_types_shapes_and_no_rows(backend: str, tmp_path: Path) -> None:
    release = written(tmp_path)
    serving = engine.load(release.uri, backend, "cpu")
    for rows in (0, 1, 6):
        ids, dense, hidden = random_inputs(release.card, rows)
        kept = hidden.copy()
        trunk, after = serving.step(ids, dense, hidden)
        scores = serving.heads(trunk)
        assert (trunk.shape, after.shape) == ((rows, serving.trunk_size), (rows, serving.state_size))
        assert [part.shape for part in scores] == [(rows, 4), (rows, 13), (rows, 5), (rows, 5)]
        assert [part.dtype.str for part in (trunk, after, *scores)] == [
            "<f4",
            "<f4",
            "<f4",
            "<f4",
            "<i4",
            "<f4",
        ]
        assert (hidden == kept).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_other_is_never_offered(backend: str, tmp_path: Path) -> None:
    of = card()
    weights = weights_of(untrained(of))
    weights["categories.bias"][CATEGORIES.index(OTHER)] = 50
    serving = engine.load(write(str(tmp_path), of, weights).uri, backend, "cpu")
    scores = serving.heads(np.zeros((2, serving.trunk_size), np.float32))
    assert CATEGORIES.index(OTHER) not in scores.top
    assert scores.top_scores.sum() < 1e-3


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_small_vocabulary_offers_fewer(backend: str, tmp_path: Path) -> None:
    serving = engine.load(written(tmp_path, categories=("a", "b", OTHER)).uri, backend, "cpu")
    assert serving.heads(np.zeros((2, serving.trunk_size), np.float32)).top.shape == (2, 2)


def test_onnx_serves_without_loading_torch(tmp_path: Path) -> None:
    uri = written(tmp_path).uri
    code = f"import sys; from models import engine; engine.load({uri!r}, 'onnx'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_cannot_be_loaded_says_why(tmp_path: Path) -> None:
    release = written(tmp_path)
    with pytest.raises(ValueError, match="want onnx or torch"):
        engine.load(release.uri, "tensorflow")
    with pytest.raises(ValueError, match="set device to cpu"):
        engine.load(release.uri, "onnx", "cuda")
    with pytest.raises(ValueError, match="want cpu, cuda or auto"):
        engine.load(release.uri, "torch", "tpu")
    wrong = write(str(tmp_path), card(categories=("a", "b")), release.weights())
    with pytest.raises(
        ReleaseProblem, match=r"categories\.bias has shape \(8,\), the architecture wants \(2,\)"
    ):
        engine.load(wrong.uri)


def test_calibration_refuses_what_is_not_a_number_per_interval() -> None:
    with pytest.raises(ValueError, match="hazard_scale: want 13"):
        Calibration(hazard_scale=(1.0,))
    with pytest.raises(ValueError, match="category_temperature"):
        Calibration(category_temperature=0)
