"""Times of calls on a device, and the most that the device does: the roofs that `bench.gpu` holds its figures against."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from models.cuda_graphs import wait
from models.serving import PRECISIONS

Call = Callable[[], object]

WARM_UP = 5
BURST = 20  # calls that are timed together by the device's clock, so that starting the first does not count


@dataclass(frozen=True)
class Times:
    """Seconds per call."""

    mean: float
    p50: float
    p99: float


@dataclass(frozen=True)
class Roofs:
    """flops: FLOP/s by precision, of a big matrix product. memory, link: bytes/s of a big copy within the device, read
    and written both counted, and of one between the host's pinned memory and the device, the slower way."""

    flops: dict[str, float]
    memory: float
    link: float


@dataclass(frozen=True)
class Work:
    """The least that a call has to do, whatever does it."""

    flop: float
    memory: float  # bytes read and written on the device
    link: float  # bytes between host and device

    def floor(self, roofs: Roofs, precision: str, whole: bool) -> tuple[float, str]:
        """Seconds that it takes at least, and what limits it. whole: with what goes over the link."""
        times = {"FLOP": self.flop / roofs.flops[precision], "memory": self.memory / roofs.memory}
        if whole:
            times["link"] = self.link / roofs.link
        limit = max(times, key=lambda name: times[name])
        return times[limit], limit


def timed(call: Call, least: int, seconds: float) -> Times:
    """Times of a call that returns when all is done, by the host's clock: `least` calls, more within `seconds`."""
    for _ in range(WARM_UP):
        call()
    laps: list[float] = []
    until = time.perf_counter() + seconds
    while len(laps) < least or (time.perf_counter() < until and len(laps) < 10 * least):
        begun = time.perf_counter()
        call()
        laps.append(time.perf_counter() - begun)
    return Times(float(np.mean(laps)), *(float(lap) for lap in np.quantile(laps, [0.5, 0.99])))


def on_device(call: Call, device: torch.device, bursts: int = 10) -> float:
    """Median seconds of a call that only starts work on the device, by the device's clock; the CPU's by the host's."""
    for _ in range(WARM_UP):
        call()
    return float(np.median([_burst(call, device) for _ in range(bursts)])) / BURST


def roofs(device: torch.device) -> Roofs:
    """Measured now. The CPU's are of small sizes and only show that the measurement works."""
    cuda = device.type == "cuda"
    side, size = (8192, 2 << 30) if cuda else (256, 16 << 20)
    flops = {name: _product(side, dtype, device) for name, dtype in PRECISIONS.items()}
    source, target = (torch.ones(size, dtype=torch.uint8, device=device) for _ in range(2))
    memory = 2 * size / on_device(lambda: target.copy_(source), device, 3)
    part = size // 8
    host = torch.ones(part, dtype=torch.uint8, pin_memory=cuda)
    down = on_device(lambda: target[:part].copy_(host, non_blocking=True), device, 3)
    up = on_device(lambda: host.copy_(source[:part], non_blocking=True), device, 3)
    return Roofs(flops, memory, part / max(down, up))


def _product(side: int, dtype: torch.dtype, device: torch.device) -> float:
    # Random numbers: products of zeros draw less power and run faster than any real work.
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return 2 * side**3 / on_device(lambda: left @ right, device, 3)


def _burst(call: Call, device: torch.device) -> float:
    if device.type == "cpu":
        begun = time.perf_counter()
        for _ in range(BURST):
            call()
        return time.perf_counter() - begun
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    first.record()
    for _ in range(BURST):
        call()
    last.record()
    wait(device)
    return float(first.elapsed_time(last)) / 1000
