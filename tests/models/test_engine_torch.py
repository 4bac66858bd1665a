"""The serving layout of the network, its precisions, and whole sequences in one call."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.architecture import Architecture
from models.carried import windows
from models.engine_torch import EngineTorch
from models.network import weights_of
from models.release import Release, write
from models.serving import PRECISIONS, ServingNetwork
from tests.models.releases import TRUNKS, card, random_inputs, untrained, written

EVENTS = 50
DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")
    ),
]


def lively(folder: Path) -> Release:
    """Random weights three times the usual: scores then spread as those of a trained release do."""
    of = card(architecture=Architecture())
    weights = weights_of(untrained(of))
    louder = ("lstm.", "body.", "hazard.")
    return write(
        str(folder), of, {name: w * 3 if name.startswith(louder) else w for name, w in weights.items()}
    )


def sequences(lengths: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    ids, dense, _ = random_inputs(card(), int(lengths.sum()), seed)
    ids[::5, 1] = 0  # events without a category leave the memory as it is
    return ids, dense


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_a_step_is_that_of_the_network_of_training(layers: int) -> None:
    of = card(architecture=Architecture(sizes=(16,) * layers, head=16, memory=8))
    network = untrained(of)
    serving = ServingNetwork(network, torch.float32)
    ids, dense, hidden = (torch.from_numpy(part) for part in random_inputs(of, 40, 1))
    ids[::5, 1] = 0
    with torch.inference_mode():
        wanted, got = network.step(ids, dense, hidden), serving.step(ids, dense, hidden)
    for one, other in zip(got, wanted, strict=True):  # a mean over a memory of little weight is large
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-6)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_scores_of_every_precision_agree_over_fifty_events(
    precision: str, device: str, tmp_path: Path
) -> None:
    release = lively(tmp_path)
    exact = EngineTorch(release, release.weights(), "cpu", 1)
    other = EngineTorch(release, release.weights(), device, 1, precision)
    states = [np.zeros((64, exact.state_size), np.float32)] * 2
    spread = 0.0
    for turn in range(EVENTS):
        ids, dense, _ = random_inputs(release.card, 64, turn)
        trunks = []
        for at, engine in enumerate((exact, other)):
            trunk, states[at] = engine.step(ids, dense, states[at])
            trunks.append(trunk)
        wanted, got = exact.heads(trunks[0]), other.heads(trunks[1])
        assert got.tasks == pytest.approx(wanted.tasks, abs=1e-3)
        assert got.survival == pytest.approx(wanted.survival, abs=1e-3)
        assert got.top_scores == pytest.approx(wanted.top_scores, abs=1e-3)
        spread = max(spread, float(wanted.tasks.std(axis=0).max()))
    assert states[1].dtype == np.float32
    assert spread > 0.05  # scores that hardly differ would agree in any precision


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("precision", "within"), [("float32", 1e-5), ("bfloat16", 1e-3), ("float16", 1e-3)])
def test_windows_are_steps_from_a_zero_state(
    precision: str, within: float, device: str, tmp_path: Path
) -> None:
    release = lively(tmp_path)
    exact = EngineTorch(release, release.weights(), "cpu", 1)
    engine = EngineTorch(release, release.weights(), device, 1, precision)
    lengths = np.concatenate([np.random.default_rng(0).integers(1, EVENTS, 30), [1, EVENTS, EVENTS]])
    ids, dense = sequences(lengths)
    trunk, hidden = engine.windows(ids, dense, lengths)
    wanted = windows(exact, ids, dense, lengths)  # step by step, on the CPU
    assert engine.heads(trunk).survival == pytest.approx(exact.heads(wanted[0]).survival, abs=within)
    if precision == "float32":
        assert trunk == pytest.approx(wanted[0], abs=1e-5)
        assert hidden == pytest.approx(wanted[1], abs=1e-5)


@pytest.mark.parametrize("trunk", TRUNKS)
def test_windows_of_every_trunk_equal_its_steps(trunk: str, tmp_path: Path) -> None:
    release = written(tmp_path, architecture=TRUNKS[trunk])
    engine = EngineTorch(release, release.weights(), "cpu", 1)
    lengths = np.array([3, 20, 1, 7])
    ids, dense = sequences(lengths)
    for whole, stepped in zip(
        engine.windows(ids, dense, lengths), windows(engine, ids, dense, lengths), strict=True
    ):
        assert whole == pytest.approx(stepped, abs=1e-5)


def test_only_an_lstm_computes_in_less_than_float32(tmp_path: Path) -> None:
    release = written(tmp_path, architecture=TRUNKS["gru"])
    with pytest.raises(ValueError, match="a gru computes in float32 only: set engine_precision"):
        EngineTorch(release, release.weights(), "cpu", 1, "float16")


@pytest.mark.parametrize("device", DEVICES)
def test_an_event_of_a_window_that_is_not_finite_is_left_out(device: str, tmp_path: Path) -> None:
    release = written(tmp_path)
    plain, engine = (EngineTorch(release, release.weights(), where, 1) for where in ("cpu", device))
    engine.on_gpu = True
    lengths = np.array([3, 4, 2])
    ids, dense = sequences(lengths)
    dense[4, 0], dense[8, 0] = np.inf, np.nan  # in the middle of the second window, at the end of the third
    trunk, hidden = windows(engine, ids, dense, lengths)
    wanted = windows(plain, ids, dense, lengths)
    assert (np.isfinite(trunk).all(axis=1) == [True, True, False]).all()
    assert trunk[:2] == pytest.approx(wanted[0][:2], abs=1e-5)
    assert hidden == pytest.approx(wanted[1], abs=1e-5)
    kept = np.delete(np.arange(9), [4, 8])
    assert hidden == pytest.approx(windows(plain, ids[kept], dense[kept], np.array([3, 3, 1]))[1], abs=1e-5)


def test_windows_want_an_event_of_every_shopper(tmp_path: Path) -> None:
    release = written(tmp_path)
    engine = EngineTorch(release, release.weights(), "cpu", 1)
    lengths = np.array([2, 0])
    with pytest.raises(ValueError, match="at least one event"):
        engine.windows(*sequences(lengths), lengths)


def test_the_description_names_device_and_precision(tmp_path: Path) -> None:
    release = written(tmp_path)
    assert (
        " on cpu, float16, 1 CPU" in EngineTorch(release, release.weights(), "cpu", 1, "float16").description
    )
    with pytest.raises(ValueError, match="want float32, float16, bfloat16"):
        EngineTorch(release, release.weights(), "cpu", 1, "float8")
