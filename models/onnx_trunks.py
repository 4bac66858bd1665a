"""One step of each kind of trunk in ONNX, as its module in models/families/ does it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from models import trunks
from models.architecture import Architecture, Weights
from models.onnx_graph import Array, Graph

NORM_EPSILON = 1e-5  # torch's


def step(
    graph: Graph, architecture: Architecture, weights: Weights, inputs: list[str], state: list[str]
) -> tuple[str, list[str]]:
    """Output (B, hidden) of one event each, and the parts of the state after it.

    weights: names without "trunk.". inputs: (B, …) to be joined. state: its parts, see `trunks.state_parts`.
    """
    kinds = {"lstm": _lstm, "gru": _gru, "rnn": _rnn, "tcn": _tcn, "transformer": _transformer}
    return kinds[architecture.trunk](graph, architecture, weights, inputs, state)


def _lstm(
    graph: Graph, architecture: Architecture, weights: Weights, below: list[str], state: list[str]
) -> tuple[str, list[str]]:
    """A Gemm per gate, so that ONNX Runtime fuses it with what comes after and nothing has to be split."""
    after: list[str] = []
    for layer, (h, c) in enumerate(zip(state[::2], state[1::2], strict=True)):
        inputs = graph.add("Concat", *below, h, axis=1)
        both, bias = _cell(weights, layer)
        kinds = ("Sigmoid", "Sigmoid", "Tanh", "Sigmoid")  # of the gates i, f, g, o, in torch's order
        keep_in, keep, candidate, keep_out = (
            graph.add(kind, graph.linear(inputs, rows, shift))
            for kind, rows, shift in zip(kinds, np.split(both, 4), np.split(bias, 4), strict=True)
        )
        now = graph.add("Add", graph.add("Mul", keep, c), graph.add("Mul", keep_in, candidate))
        below = [graph.add("Mul", keep_out, graph.add("Tanh", now))]
        after += [below[0], now]
    return below[0], after


def _gru(
    graph: Graph, architecture: Architecture, weights: Weights, below: list[str], state: list[str]
) -> tuple[str, list[str]]:
    """torch's GRU: the candidate's own part, bias included, is let through by the reset gate."""
    after: list[str] = []
    for layer, h in enumerate(state):
        name, x = f"layers.{layer}", graph.add("Concat", *below, axis=1)
        into, own, shift, own_shift = (
            np.split(weights[f"{name}.{part}_l0"], 3)
            for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        both = graph.add("Concat", x, h, axis=1)
        reset, keep = (
            graph.add(
                "Sigmoid",
                graph.linear(both, np.concatenate([into[gate], own[gate]], 1), shift[gate] + own_shift[gate]),
            )
            for gate in (0, 1)
        )
        recalled = graph.add("Mul", reset, graph.linear(h, own[2], own_shift[2]))
        fresh = graph.add("Tanh", graph.add("Add", graph.linear(x, into[2], shift[2]), recalled))
        below = [graph.add("Add", fresh, graph.add("Mul", keep, graph.add("Sub", h, fresh)))]
        after += below
    return below[0], after


def _rnn(
    graph: Graph, architecture: Architecture, weights: Weights, below: list[str], state: list[str]
) -> tuple[str, list[str]]:
    after: list[str] = []
    for layer, h in enumerate(state):
        both, bias = _cell(weights, layer)
        below = [graph.add("Tanh", graph.linear(graph.add("Concat", *below, h, axis=1), both, bias))]
        after += below
    return below[0], after


def _cell(weights: Weights, layer: int) -> tuple[Array, Array]:
    """Weights of inputs ++ h, and the sum of both biases."""
    name = f"layers.{layer}"
    both = np.concatenate([weights[f"{name}.weight_ih_l0"], weights[f"{name}.weight_hh_l0"]], 1)
    return both, weights[f"{name}.bias_ih_l0"] + weights[f"{name}.bias_hh_l0"]


def _tcn(
    graph: Graph, architecture: Architecture, weights: Weights, below: list[str], state: list[str]
) -> tuple[str, list[str]]:
    sizes, after = architecture.sizes, []
    x = graph.linear(graph.add("Concat", *below, axis=1), weights["lift.weight"], weights["lift.bias"])
    for layer, ((width, size), before) in enumerate(zip(pairwise((sizes[0], *sizes)), state, strict=True)):
        seen, last = graph.add("Concat", before, x, axis=1), trunks.reach(architecture, layer)
        taps = [graph.columns(seen, at * width, (at + 1) * width) for at in range(0, last + 1, 2**layer)]
        name = f"layers.{layer}"
        convolved = graph.linear(
            graph.add("Concat", *taps, axis=1), weights[f"{name}.weight"], weights[f"{name}.bias"]
        )
        found = graph.add("Relu", convolved)
        x = graph.add("Add", found, x) if width == size else found
        after.append(graph.columns(seen, width, (last + 1) * width))
    return x, after


def _transformer(
    graph: Graph, architecture: Architecture, weights: Weights, below: list[str], state: list[str]
) -> tuple[str, list[str]]:
    window, heads, size = architecture.window, architecture.attention_heads, architecture.sizes[0]
    there, *kept = state
    # A 1 for each row, made from a column that holds 0 or 1.
    one = graph.add("Add", graph.columns(there, 0, 1), graph.constant(np.array(1.0, np.float32)))
    one = graph.add("Min", one, graph.constant(np.array(1.0, np.float32)))
    there = graph.add("Concat", there, one, axis=1)
    absent = graph.add("Sub", graph.constant(np.array(1.0, np.float32)), there)
    absent = graph.add("Mul", absent, graph.constant(np.array(trunks.ABSENT, np.float32)))
    back = np.arange(window, -1, -1, dtype=np.float32)
    far = graph.constant(-trunks.slopes(heads)[:, None, None] * back)
    bias = graph.add("Add", graph.reshape(absent, -1, 1, 1, window + 1), far)
    after = [graph.columns(there, 1, window + 1)]
    x = graph.linear(graph.add("Concat", *below, axis=1), weights["lift.weight"], weights["lift.bias"])
    for layer in range(len(architecture.sizes)):
        mine = {
            name.removeprefix(f"layers.{layer}."): value
            for name, value in weights.items()
            if name.startswith(f"layers.{layer}.")
        }
        normed = _norm(graph, mine, "before", x)
        asked, *given = graph.split(
            graph.linear(normed, mine["project.weight"], mine["project.bias"]), [size] * 3
        )
        keys, values = (
            graph.add("Concat", old, new, axis=1)
            for old, new in zip(kept[2 * layer : 2 * layer + 2], given, strict=True)
        )
        after += [graph.columns(part, size, (window + 1) * size) for part in (keys, values)]
        found = _attention(graph, asked, keys, values, bias, heads, size, window + 1)
        x = graph.add("Add", x, graph.linear(found, mine["merge.weight"], mine["merge.bias"]))
        inner = graph.linear(_norm(graph, mine, "between", x), mine["widen.weight"], mine["widen.bias"])
        x = graph.add(
            "Add", x, graph.linear(graph.add("Relu", inner), mine["narrow.weight"], mine["narrow.bias"])
        )
    return _norm(graph, weights, "norm", x), after


def _attention(
    graph: Graph, asked: str, keys: str, values: str, bias: str, heads: int, size: int, events: int
) -> str:
    """What one event (B, size) sees in keys and values (B, events * size): (B, size)."""
    each = size // heads
    asked = graph.reshape(asked, -1, heads, 1, each)
    asked = graph.add("Mul", asked, graph.constant(np.array(each**-0.5, np.float32)))
    keys = graph.add("Transpose", graph.reshape(keys, -1, events, heads, each), perm=[0, 2, 3, 1])
    values = graph.add("Transpose", graph.reshape(values, -1, events, heads, each), perm=[0, 2, 1, 3])
    shares = graph.add("Softmax", graph.add("Add", graph.add("MatMul", asked, keys), bias), axis=3)
    return graph.reshape(graph.add("MatMul", shares, values), -1, size)


def _norm(graph: Graph, weights: Weights, name: str, value: str) -> str:
    scale, shift = (graph.constant(weights[f"{name}.{part}"]) for part in ("weight", "bias"))
    return graph.add("LayerNormalization", value, scale, shift, axis=-1, epsilon=NORM_EPSILON)
