"""What `bench.gpu` is held against: torch's own LSTM, which is cuDNN's on a GPU, and ONNX Runtime with its state there.

torch's LSTM does less than the engine: its inputs lie ready on the device, there are no embeddings, no memory, and
nothing is gathered from a shopper's row or comes back. ONNX Runtime runs the engine's step graph whole.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime as ort
import torch
from torch import nn

from models.cuda_graphs import wait
from models.engine_onnx import step_graph
from models.release import Release
from models.serving import PRECISIONS

Call = Callable[[], object]

ONNX_PROVIDER = {"cuda": "CUDAExecutionProvider", "cpu": "CPUExecutionProvider"}


def lstm(release: Release, batch: int, events: int, precision: str, device: torch.device) -> Call:
    """`events` events each of `batch` shoppers through nn.LSTM, the state carried from call to call."""
    architecture, dtype = release.card.architecture, PRECISIONS[precision]
    network = nn.LSTM(
        architecture.input_size(release.card.features), architecture.hidden, len(architecture.sizes)
    )
    network = network.to(device, dtype).eval()
    inputs = torch.randn(events, batch, network.input_size, device=device).to(dtype)
    state = [torch.zeros(len(architecture.sizes), batch, architecture.hidden, device=device, dtype=dtype)] * 2

    @torch.inference_mode()
    def call() -> None:
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            state[:] = network(inputs, tuple(state))[1]
        wait(device)

    return call


def onnx_problem(device: torch.device) -> str:
    """Why ONNX Runtime cannot be measured on this device; empty when it can."""
    wanted = ONNX_PROVIDER[device.type]
    if wanted in ort.get_available_providers():
        return ""
    return f"not measured: onnxruntime {ort.__version__} here has no {wanted} (onnxruntime-gpu has it)"


def onnx(release: Release, ids: np.ndarray, dense: np.ndarray, device: torch.device) -> Call:
    """One step of the batch in ONNX Runtime: events from the host, state and trunk stay on the device.

    RuntimeError when the session fell back to the CPU, as it does without a word when a CUDA library is missing.
    """
    provider = ONNX_PROVIDER[device.type]
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    model = step_graph(release.card, release.weights()).SerializeToString()
    session = ort.InferenceSession(model, options, providers=[provider])
    if session.get_providers()[0] != provider:
        raise RuntimeError(f"onnxruntime took {session.get_providers()[0]} instead of {provider}")
    binding = session.io_binding()
    hidden = np.zeros((len(ids), release.card.architecture.state_size), np.float32)
    state = [ort.OrtValue.ortvalue_from_numpy(hidden, device.type, 0)]

    def call() -> None:
        binding.bind_cpu_input("ids", ids)
        binding.bind_cpu_input("dense", dense)
        binding.bind_ortvalue_input("hidden", state[0])
        for name in ("trunk", "after"):
            binding.bind_output(name, device.type, 0)
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        state[0] = binding.get_outputs()[1]

    return call
