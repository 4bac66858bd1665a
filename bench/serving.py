"""`make bench-serving`: what a score costs with carried state, against computing a window of 50 events again.

For every kind of trunk, in ONNX Runtime and in torch, one thread each: one event each of B shoppers with their state, heads
included, and the same scores from their last 50 events. A window is computed in the cheapest way that the engines have:
torch's layers over the whole window, or a step 50 times; `window_over_step` is that over the cheapest step, and
`…_within_onnx`, `…_within_torch` compare each engine with itself. The ways take turns, a window against as many steps as
take about as long, so that what else the machine does hits both alike. Weights are random; what is compared is time, and
that all ways give the same scores.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bench import report
from bench.throwaway import card
from bench.workload import CATEGORIES
from models import engine, release
from models.architecture import PRESETS, Architecture
from models.carried import windows
from models.engine import Engine, Scores
from models.engine_torch import EngineTorch
from models.featurizer import FeatureSpec
from models.network import IntentNetwork, weights_of
from models.release import Release

WINDOW = 50
BATCHES = (1, 32, 256)
B = 32
STEPS = 25  # that take about as long as a window
ROUNDS = 40
BACKENDS = ("onnx", "torch")
LOUD = 3.0  # weights are multiplied by it, so that scores spread as a trained release's do


def main() -> int:
    torch.set_num_threads(1)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="intentflow-bench-") as folder:
        for name, architecture in PRESETS.items():
            figures[name] = preset(released(folder, replace(architecture, dropout=0.0)))
        recalled = replace(PRESETS["lstm"], recall=32)
        figures["lstm with recall"] = preset(released(folder, recalled))
    served = figures["lstm"]
    bars = [
        report.at_least(
            "window of 50 over one step with carried state, B = 32", served["window_over_step"], 25
        ),
        report.at_most(f"one step of {B} shoppers, p99, ms", served[f"onnx_step_b{B}_p99_ms"], 1.0),
        report.at_most(
            "scores of onnx and torch apart, every trunk", _worst(figures, "backends_apart"), 1e-5
        ),
        report.at_most(
            "carried state and full window apart, every trunk", _worst(figures, "window_apart"), 1e-5
        ),
    ]
    return report.finish("serving", figures, bars, report.libraries(("torch", "onnxruntime")), report.trial())


def released(folder: str, architecture: Architecture) -> Release:
    """A release with random weights."""
    torch.manual_seed(0)
    spec = FeatureSpec()
    network = IntentNetwork(spec, architecture, len(CATEGORIES))
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name.startswith(("body", "hazard", "categories")):
                weight.mul_(LOUD)
    made = card(categories=CATEGORIES, features=spec, architecture=architecture)
    return release.write(str(Path(folder) / str(abs(hash(architecture)))), made, weights_of(network))


def preset(of: Release) -> dict[str, Any]:
    """Times and agreement of one architecture in both backends."""
    engines = {backend: engine.load(of.uri, backend, "cpu", threads=1) for backend in BACKENDS}
    whole = engines["torch"]
    assert isinstance(whole, EngineTorch)
    found: dict[str, Any] = {
        "state_floats": whole.state_size,
        "weights": sum(value.size for value in of.weights().values()),
    }
    for backend, one in engines.items():
        for rows in BATCHES:
            found |= _named(f"{backend}_step_b{rows}", step_times(one, rows))
    found |= against_windows(engines)
    return found | _agreement(engines)


def against_windows(engines: dict[str, Engine]) -> dict[str, float]:
    """Medians of each way to a window, and of its time over that of a step in the same round."""
    whole = engines["torch"]
    assert isinstance(whole, EngineTorch)
    ways = {f"{backend}_steps": _stepped(one) for backend, one in engines.items()} | {
        "layers": _layers(whole)
    }
    steps = {backend: _repeated(_step(one, B), STEPS) for backend, one in engines.items()}
    taken = _turns({**ways, **steps})
    found = {f"window_{name}_b{B}_ms": 1e3 * float(np.median(taken[name])) for name in ways}

    def over(mine: Iterable[str], backends: Iterable[str]) -> float:
        way, step = (min(names, key=lambda name: np.median(taken[name])) for names in (mine, backends))
        return float(np.median(taken[way] / taken[step])) * STEPS

    found["window_over_step"] = over(ways, BACKENDS)
    found["window_over_step_within_onnx"] = over(["onnx_steps"], ["onnx"])
    found["window_over_step_within_torch"] = over(["torch_steps", "layers"], ["torch"])
    return found


def _repeated(call: Callable[[], object], times: int) -> Callable[[], object]:
    def many() -> None:
        for _ in range(times):
            call()

    return many


def _turns(calls: dict[str, Callable[[], object]]) -> dict[str, npt.NDArray[np.float64]]:
    """Seconds of each call (rounds,); in each round every call has its turn, after one that is not counted."""
    rounds = 5 if report.fast() else ROUNDS
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            call()
            begun = time.perf_counter()
            call()
            taken[name].append(time.perf_counter() - begun)
    return {name: np.array(found) for name, found in taken.items()}


def _inputs(events: int, seed: int = 0) -> tuple[Any, Any]:
    spec, rng = FeatureSpec(), np.random.default_rng(seed)
    ids = np.stack([rng.integers(0, size, events) for size in spec.vocabulary()], 1).astype(np.int32)
    return ids, rng.normal(size=(events, spec.dense_size)).astype(np.float32)


def _step(one: Engine, rows: int) -> Callable[[], object]:
    ids, dense = _inputs(rows)
    hidden = np.zeros((rows, one.state_size), np.float32)
    _, hidden = one.step(ids, dense, hidden)
    return lambda: one.heads(one.step(ids, dense, hidden)[0])


def step_times(one: Engine, rows: int) -> tuple[float, float]:
    """p50 and p99 in seconds of one event each of `rows` shoppers, heads included."""
    return _times(_step(one, rows))


def _stepped(one: Engine) -> Callable[[], object]:
    """The window as steps: what an engine without state would have to do."""
    ids, dense = _inputs(B * WINDOW)

    def call() -> object:
        hidden = np.zeros((B, one.state_size), np.float32)
        for at in range(0, B * WINDOW, B):
            trunk, hidden = one.step(ids[at : at + B], dense[at : at + B], hidden)
        return one.heads(trunk)

    return call


def _layers(one: EngineTorch) -> Callable[[], object]:
    """The window as torch's layers take it, whole."""
    ids, dense = _inputs(B * WINDOW)
    lengths = np.full(B, WINDOW, np.int64)
    return lambda: one.heads(one.windows(ids, dense, lengths)[0])


def _times(call: Callable[[], object]) -> tuple[float, float]:
    """p50 and p99 in seconds, over half a second or more."""
    budget = 0.1 if report.fast() else 1.0
    for _ in range(5):
        call()
    taken: list[float] = []
    stop = time.perf_counter() + budget
    while time.perf_counter() < stop or len(taken) < 30:
        begun = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begun)
    return float(np.percentile(taken, 50)), float(np.percentile(taken, 99))


def _named(name: str, times: tuple[float, float]) -> dict[str, float]:
    return {f"{name}_p50_ms": 1e3 * times[0], f"{name}_p99_ms": 1e3 * times[1]}


def _agreement(engines: dict[str, Engine]) -> dict[str, float]:
    """Largest difference of any score: between the backends, and between carried state and whole windows."""
    ids, dense = _inputs(B * WINDOW, 1)
    lengths = np.full(B, WINDOW, np.int64)
    whole = engines["torch"]
    assert isinstance(whole, EngineTorch)
    at_once = whole.heads(whole.windows(ids, dense, lengths)[0])
    onnx, torch_ = (
        engines[backend].heads(windows(engines[backend], ids, dense, lengths)[0]) for backend in BACKENDS
    )
    return {"backends_apart": _apart(onnx, torch_), "window_apart": _apart(onnx, at_once)}


def _apart(one: Scores, other: Scores) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(one[:2], other[:2], strict=True))


def _worst(figures: dict[str, Any], name: str) -> float:
    return max(float(found[name]) for found in figures.values())


if __name__ == "__main__":
    sys.exit(main())
