"""`make bench-gpu`: the torch engine on a GPU, its state there: one step, and whole windows of 50 events.

Every figure is of whole calls, numpy in and numpy out, as the worker makes them; `device_us` is the device's part
alone, over the same rows again and again, so some of their bytes come from its cache. `roofline` is the share of the
time that the call would take at least: its FLOP at the rate of a big matrix product, its bytes at that of a big copy,
measured in the same run, whichever is longer (`limit`). Without a GPU nothing is measured and the exit status is 2;
with FAST=1 small sizes run on the CPU, to show that everything works.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np
import torch

from bench import gpu_peers, report
from bench.gpu_timing import Roofs, Times, Work, on_device, roofs, timed
from bench.throwaway import card
from models.architecture import Architecture
from models.engine_torch import EngineTorch
from models.featurizer import FeatureSpec
from models.network import IntentNetwork, weights_of
from models.release import Release, write
from models.resident import Resident
from models.serving import PRECISIONS

WINDOW = 50
CATEGORIES = tuple(f"category-{number:03d}" for number in range(300))
LOUD = 3.0  # factor on random weights: scores then spread as those of a trained release do
LOUDER = ("lstm.", "body.", "hazard.")
PARITY_ROWS = 512
SETS = 16  # of shoppers that take turns: rows of one set alone would stay in the device's cache


@dataclass(frozen=True)
class Plan:
    """What is measured. least, seconds: calls per figure, see `timed`."""

    device: torch.device
    hidden: tuple[int, ...]
    batches: tuple[int, ...]
    shoppers: int  # rows on the device
    least: int
    seconds: float


def main() -> int:
    plan = _plan()
    if plan is None:
        print(
            "bench.gpu: torch sees no GPU here, so nothing was measured; FAST=1 runs small sizes on the CPU",
            file=sys.stderr,
        )
        return 2
    most = roofs(plan.device)
    figures: dict[str, Any] = {"device": _device(plan.device, most)}
    parity: dict[str, float] = dict.fromkeys(PRECISIONS, 0.0)
    with tempfile.TemporaryDirectory(prefix="intentflow-bench-") as folder:
        for hidden in plan.hidden:
            release = _release(folder, hidden)
            for precision, worst in _parity(release, plan.device).items():
                parity[precision] = max(parity[precision], worst)
            figures[f"step_h{hidden}"] = dict(_steps(release, plan, most))
            figures[f"windows_h{hidden}"] = dict(_windows(release, plan, most))
    figures["parity"] = parity
    bars = [
        report.at_most(
            f"{precision} against float32 on the CPU: worst score over {WINDOW} events",
            worst,
            1e-5 if precision == "float32" else 1e-3,
        )
        for precision, worst in parity.items()
    ]
    return report.finish("gpu", figures, bars, _versions(), report.trial())


def _plan() -> Plan | None:
    if torch.cuda.is_available():
        device, hidden = torch.device("cuda"), (64, 128, 512)
        if report.fast():
            return Plan(device, hidden[:1], (32, 1024), SETS * 1024, 20, 0.1)
        return Plan(device, hidden, (32, 128, 512, 2048, 8192), SETS * 8192, 200, 0.5)
    return Plan(torch.device("cpu"), (64,), (32, 128), SETS * 128, 3, 0.05) if report.fast() else None


def _release(folder: str, hidden: int) -> Release:
    torch.manual_seed(0)
    spec, architecture = FeatureSpec(), Architecture(sizes=(hidden, hidden))
    weights = weights_of(IntentNetwork(spec, architecture, len(CATEGORIES)))
    made = card(model=f"random-{hidden}", categories=CATEGORIES, features=spec, architecture=architecture)
    loud = {name: value * LOUD if name.startswith(LOUDER) else value for name, value in weights.items()}
    return write(folder, made, loud)


def _events(release: Release, rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng, spec = np.random.default_rng(seed), release.card.features
    ids = np.stack([rng.integers(0, size, rows) for size in spec.vocabulary()], 1).astype(np.int32)
    return ids, rng.normal(size=(rows, spec.dense_size)).astype(np.float32)


def _engine(release: Release, device: torch.device, precision: str) -> EngineTorch:
    return EngineTorch(release, release.weights(), device.type, 1, precision)


def _parity(release: Release, device: torch.device) -> dict[str, float]:
    """By precision, the most that a score differs from float32 on the CPU over a window of events, stepped."""
    exact = _engine(release, torch.device("cpu"), "float32")
    others = {precision: _engine(release, device, precision) for precision in PRECISIONS}
    states = {
        precision: Resident(engine, PARITY_ROWS, (PARITY_ROWS,)) for precision, engine in others.items()
    }
    hidden = np.zeros((PARITY_ROWS, exact.state_size), np.float32)
    worst, slots = dict.fromkeys(PRECISIONS, 0.0), np.arange(PARITY_ROWS)
    for turn in range(WINDOW):
        ids, dense = _events(release, PARITY_ROWS, turn)
        trunk, hidden = exact.step(ids, dense, hidden)
        wanted = exact.heads(trunk)
        for precision, engine in others.items():
            got = engine.heads(states[precision].step(ids, dense, slots))
            pairs = zip((got.survival, got.tasks, got.top_scores), wanted[1::-1] + wanted[3:], strict=True)
            worst[precision] = max(worst[precision], *(float(abs(a - b).max()) for a, b in pairs))
    return worst


def _steps(release: Release, plan: Plan, most: Roofs) -> Iterator[tuple[str, Any]]:
    """One event each of a batch of shoppers drawn from all, state on the device; then the same by the peers."""
    slots = np.random.default_rng(0).permutation(plan.shoppers)
    for precision in PRECISIONS:
        engine = _engine(release, plan.device, precision)
        states = engine.resident(plan.shoppers)
        for batch in plan.batches:
            ids, dense = _events(release, batch)
            turns = cycle([slots[at : at + batch] for at in range(0, SETS * batch, batch)])
            times = timed(partial(_next, states, ids, dense, turns), plan.least, plan.seconds)
            size = states.fill(ids, dense, slots[:batch])
            device = on_device(partial(states.launch, size), plan.device)
            work = _work(release, batch, 1, precision)
            yield from _figures(f"b{batch}_{precision}", batch, times, device, work, most, precision)
    plain = _engine(release, plan.device, "float32")
    for batch in plan.batches:
        ids, dense = _events(release, batch)
        hidden = np.zeros((batch, plain.state_size), np.float32)
        times = timed(partial(plain.step, ids, dense, hidden), plan.least, plan.seconds)
        yield from _rate(f"b{batch}_float32_state_on_host", batch, times)
        for precision in ("float32", "float16"):
            yield from _lstm(release, batch, 1, precision, plan)
        if not gpu_peers.onnx_problem(plan.device):
            call = gpu_peers.onnx(release, ids, dense, plan.device)
            yield from _rate(f"b{batch}_float32_onnx", batch, timed(call, plan.least, plan.seconds))


def _next(states: Resident, ids: np.ndarray, dense: np.ndarray, turns: Iterator[np.ndarray]) -> None:
    states.step(ids, dense, next(turns))


def _windows(release: Release, plan: Plan, most: Roofs) -> Iterator[tuple[str, Any]]:
    """Whole windows from a zero state, as a rebuild runs them; then nn.LSTM alone. bfloat16 has those of float32."""
    for batch in plan.batches:
        ids, dense = _events(release, batch * WINDOW)
        lengths = np.full(batch, WINDOW)
        for precision in ("float32", "float16"):
            engine = _engine(release, plan.device, precision)
            times = timed(partial(engine.windows, ids, dense, lengths), plan.least // 2, plan.seconds)
            work = _work(release, batch, WINDOW, precision)
            name = f"b{batch}_{precision}"
            yield from _figures(name, batch * WINDOW, times, None, work, most, precision)
            yield from _lstm(release, batch, WINDOW, precision, plan)


def _lstm(
    release: Release, batch: int, events: int, precision: str, plan: Plan
) -> Iterator[tuple[str, float]]:
    call = gpu_peers.lstm(release, batch, events, precision, plan.device)
    times = timed(call, plan.least // 2, plan.seconds)
    yield from _rate(f"b{batch}_{precision}_nn_lstm", batch * events, times)


def _work(release: Release, batch: int, events: int, precision: str) -> Work:
    """FLOP of the LSTM's products; on the device each input, state and result once, and the weights once per call."""
    architecture, spec = release.card.architecture, release.card.features
    H, S, T = architecture.hidden, architecture.state_size, architecture.trunk_size(spec)
    inner = [architecture.input_size(spec) + H] + [2 * H] * (len(architecture.sizes) - 1)
    weights = 4 * H * (sum(inner) + len(architecture.sizes))
    event = 4 * (len(spec.vocabulary()) + spec.dense_size)
    looked_up = 4 * (sum(architecture.embeddings()) + architecture.memory + 1)
    whole = (
        events > 1
    )  # a window starts from zeros and hands its state to the host; a step finds and leaves it here
    return Work(
        flop=2.0 * batch * events * weights,
        memory=batch * (events * (event + looked_up) + 4 * (S if whole else 2 * S) + 4 * T)
        + weights * PRECISIONS[precision].itemsize,
        link=batch * (events * event + 4 * T + (4 * S if whole else 4)),
    )


def _figures(
    name: str, events: int, times: Times, device_s: float | None, work: Work, most: Roofs, precision: str
) -> Iterator[tuple[str, Any]]:
    yield from _rate(name, events, times)
    floor, limit = work.floor(most, precision, whole=True)
    yield f"{name}_roofline", floor / times.p50
    yield f"{name}_limit", limit
    if device_s is not None:
        floor, limit = work.floor(most, precision, whole=False)
        yield f"{name}_device_us", device_s * 1e6
        yield f"{name}_device_roofline", floor / device_s
        yield f"{name}_device_limit", limit


def _rate(name: str, events: int, times: Times) -> Iterator[tuple[str, float]]:
    yield f"{name}_events_per_s", events / times.mean
    yield f"{name}_p99_us", times.p99 * 1e6


def _device(device: torch.device, most: Roofs) -> dict[str, Any]:
    cuda = device.type == "cuda"
    return {
        "name": torch.cuda.get_device_name(device) if cuda else "cpu, a trial of the code only",
        **{f"{precision}_tflop_per_s": rate / 1e12 for precision, rate in most.flops.items()},
        "memory_gb_per_s": most.memory / 1e9,
        "link_gb_per_s": most.link / 1e9,
        "onnx_runtime": gpu_peers.onnx_problem(device) or "measured",
    }


def _versions() -> dict[str, str]:
    cudnn = torch.backends.cudnn.version() if torch.cuda.is_available() else None
    return {"torch": torch.__version__, "cuda": str(torch.version.cuda), "cudnn": str(cudnn)}


if __name__ == "__main__":
    sys.exit(main())
