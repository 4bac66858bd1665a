"""CUDA graphs: what the device does in one call, recorded once, then started with one command instead of forty.

For small batches the commands cost more than the work: each takes the host some 5 µs, and most of them run for 2.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch

Run = Callable[[], None]

_WARM_UP = 3  # calls before recording: cuBLAS makes its handles and picks its kernels in them


def captured(runs: Mapping[int, Run], device: torch.device) -> dict[int, Run]:
    """Each of the runs, by batch size, as a CUDA graph on `device`; on the CPU they stay what they are.

    A run reads and writes only tensors that stay where they are, keeps none of those that it makes, and waits for
    nothing; it is called here some times before it is recorded. Replays go to the stream that is current then, one at
    a time: the graphs share their working memory.
    """
    if device.type != "cuda":
        return dict(runs)
    pool = torch.cuda.graph_pool_handle()
    # The largest first: the memory that it needs is enough for the others.
    return {size: _captured(runs[size], device, pool) for size in sorted(runs, reverse=True)}


def _captured(run: Run, device: torch.device, pool: Any) -> Run:
    beside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    beside.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(beside):
        for _ in range(_WARM_UP):
            run()
    torch.cuda.current_stream(device).wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    # thread_local: another thread may load a release onto the device meanwhile, which must not spoil the recording.
    with torch.cuda.graph(graph, pool=pool, stream=beside, capture_error_mode="thread_local"):
        run()
    return graph.replay


def wait(device: torch.device) -> None:
    """Until the device has done what this thread's stream asked of it; on the CPU that is so already."""
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()
