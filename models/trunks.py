"""The trunks that a network can have: what each carries per shopper, and the shapes of its weights.

    lstm, gru, rnn   their hidden states, and the LSTM's cells
    tcn              the last inputs of each causal convolution, as far as it looks back
    transformer      keys and values of the last `window` events, and which of them are there

No torch here: the ONNX engine and the check of a release need this much and no more. The modules themselves are in
models/families/, the same in ONNX in models/onnx_trunks.py; weights have the names that the modules give them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from models.architecture import Architecture

Shapes = dict[str, tuple[int, ...]]

GATES = {"lstm": 4, "gru": 3, "rnn": 1}  # rows of a recurrent weight per unit
KINDS = (*GATES, "tcn", "transformer")
ABSENT = -1e4  # added to the score of a key that is not there: its share underflows to nothing
WIDER = 2  # units of a transformer's inner layer, per unit of its width


def state_parts(architecture: Architecture) -> list[int]:
    """Floats of each part of the carried state, in their order; zeros for a new shopper."""
    sizes = architecture.sizes
    if architecture.trunk == "lstm":
        return [size for size in sizes for _ in ("h", "c")]
    if architecture.trunk in ("gru", "rnn"):
        return list(sizes)
    if architecture.trunk == "tcn":
        widths = (sizes[0], *sizes[:-1])
        return [reach(architecture, layer) * width for layer, width in enumerate(widths)]
    return [architecture.window, *(architecture.window * size for size in sizes for _ in ("keys", "values"))]


def reach(architecture: Architecture, layer: int) -> int:
    """Events that a layer of a tcn looks back: its taps stand 2^layer apart."""
    return int((architecture.kernel - 1) * 2**layer)


def slopes(heads: int) -> npt.NDArray[np.float32]:
    """Score lost per event of distance, by attention head: 2^(-8/heads) … 2^-8 (ALiBi, Press et al. 2022)."""
    return (2.0 ** (-8.0 * np.arange(1, heads + 1) / heads)).astype(np.float32)


def shapes(architecture: Architecture, inputs: int) -> Shapes:
    """Shape of every weight by name."""
    kind, sizes = architecture.trunk, architecture.sizes
    found: Shapes = {}
    if kind not in GATES:
        found |= _linear("lift", sizes[0], inputs)
        inputs = sizes[0]
    if kind == "transformer":
        found |= _norm("norm", sizes[-1])
    for layer, (below, size) in enumerate(zip((inputs, *sizes), sizes, strict=False)):
        name = f"layers.{layer}"
        if kind == "tcn":
            found |= _linear(name, size, architecture.kernel * below)
        elif kind == "transformer":
            for part, (out, into) in {
                "project": (3 * size, size),
                "merge": (size, size),
                "widen": (WIDER * size, size),
                "narrow": (size, WIDER * size),
            }.items():
                found |= _linear(f"{name}.{part}", out, into)
            found |= _norm(f"{name}.before", size) | _norm(f"{name}.between", size)
        else:
            rows = GATES[kind] * size
            found |= {f"{name}.weight_ih_l0": (rows, below), f"{name}.weight_hh_l0": (rows, size)}
            found |= {f"{name}.bias_ih_l0": (rows,), f"{name}.bias_hh_l0": (rows,)}
    return {f"trunk.{name}": shape for name, shape in found.items()}


def check(architecture: Architecture) -> None:
    """ValueError, naming the field, unless the sizes can be those of a trunk."""
    if architecture.trunk not in KINDS:
        raise ValueError(f"architecture: trunk {architecture.trunk!r}: want one of {', '.join(KINDS)}")
    sizes = architecture.sizes
    if not sizes or min(sizes) < 1:
        raise ValueError(f"architecture: sizes {sizes}: want a number of units above 0 for each layer")
    if architecture.trunk == "tcn" and architecture.kernel < 2:
        raise ValueError(
            f"architecture: kernel {architecture.kernel}: want at least 2, or a tcn sees one event"
        )
    if architecture.trunk != "transformer":
        return
    if len(set(sizes)) > 1 or sizes[0] % architecture.attention_heads:
        raise ValueError(
            f"architecture: sizes {sizes}: want one size in all layers of a transformer, a multiple of its "
            f"{architecture.attention_heads} attention heads"
        )
    if architecture.window < 1:
        raise ValueError(f"architecture: window {architecture.window}: want at least 1 event")


def _linear(name: str, out: int, into: int) -> Shapes:
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def _norm(name: str, size: int) -> Shapes:
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}
