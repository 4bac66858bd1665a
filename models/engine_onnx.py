"""The engine in ONNX Runtime, on the CPU: two graphs written here from a release's weights, without torch.

step:  ids, dense, hidden ─► Gather embeddings ─► per layer: one MatMul for all gates, Sigmoid, Tanh; memory ─► trunk
heads: trunk ─► relu layer ─► survival curve and its scores; softmax over categories ─► top five
"""

from typing import Any

import numpy as np
import onnxruntime as ort
from onnx import ModelProto, TensorProto, checker, helper, numpy_helper

from models import survival
from models.architecture import LEAST_WEIGHT, Architecture, Weights
from models.engine import TOP, Floats, Ints, Scores, in_chunks, joined, offered
from models.release import Card, Release
from models.survival import SURVIVAL_DAYS

CHUNK_ROWS = (
    2048  # of one call: time per row is flat from 32 rows on, and a bounded call keeps its arena small
)
_OPSET, _IR = 17, 9


class EngineOnnx:
    """See `models.engine.Engine`."""

    def __init__(self, release: Release, weights: Weights, threads: int | None) -> None:
        card = release.card
        self.description = f"onnx {ort.__version__} on cpu, {threads or 'all'} thread(s)"
        self.release_id = release.id
        self.tasks, self.categories = card.tasks, card.categories
        self.state_size = card.architecture.state_size
        self.trunk_size = card.architecture.trunk_size(card.features)
        folded = card.calibration.folded(weights)
        self._step = _session(step_graph(card, folded), threads)
        self._heads = _session(heads_graph(card, folded), threads)

    def step(self, ids: Ints, dense: Floats, hidden: Floats) -> tuple[Floats, Floats]:
        trunks, states = [], []
        for rows in in_chunks(len(ids), CHUNK_ROWS):
            feed = {"ids": ids[rows], "dense": dense[rows], "hidden": hidden[rows]}
            trunk, after = self._step.run(None, feed)
            trunks.append(trunk)
            states.append(after)
        return joined(trunks), joined(states)

    def heads(self, trunk: Floats) -> Scores:
        parts = [self._heads.run(None, {"trunk": trunk[rows]}) for rows in in_chunks(len(trunk), CHUNK_ROWS)]
        return Scores(*(joined(list(column)) for column in zip(*parts, strict=True)))


def step_graph(card: Card, weights: Weights) -> ModelProto:
    """One event each of B shoppers: ids (B, 4), dense (B, D), hidden (B, S) -> trunk (B, T), after (B, S)."""
    spec, architecture = card.features, card.architecture
    H, layers = architecture.hidden, architecture.layers
    graph = _Graph()
    columns = range(len(architecture.embeddings()))
    ids = [
        graph.add("Gather", "ids", graph.constant(np.array(column, np.int64)), axis=1) for column in columns
    ]
    parts = [
        graph.add("Gather", graph.constant(weights[f"embed.{column}.weight"]), ids[column])
        for column in columns
    ]
    *state, memory = graph.split("hidden", [H] * (2 * layers) + [architecture.memory + 1])
    below, after = [*parts, "dense"], []
    for layer in range(layers):
        h, c = _lstm_cell(graph, architecture, weights, layer, below, state[2 * layer], state[2 * layer + 1])
        after += [h, c]
        below = [h]
    recalled, memory = _memory(graph, architecture, weights, ids[1], memory)
    graph.add("Concat", below[0], "dense", recalled, axis=1, out="trunk")
    graph.add("Concat", *after, memory, axis=1, out="after")
    return graph.model(
        "step",
        {
            "ids": (TensorProto.INT32, 4),
            "dense": (TensorProto.FLOAT, spec.dense_size),
            "hidden": (TensorProto.FLOAT, architecture.state_size),
        },
        {
            "trunk": (TensorProto.FLOAT, architecture.trunk_size(spec)),
            "after": (TensorProto.FLOAT, architecture.state_size),
        },
    )


def _lstm_cell(
    graph: "_Graph",
    architecture: Architecture,
    weights: Weights,
    layer: int,
    below: list[str],
    h: str,
    c: str,
) -> tuple[str, str]:
    """One layer: torch orders gates i, f, g, o; here i, f, o stand together so that one Sigmoid does all three."""
    H = architecture.hidden
    order = np.r_[0 : 2 * H, 3 * H : 4 * H, 2 * H : 3 * H]
    both = np.concatenate([weights[f"lstm.weight_ih_l{layer}"], weights[f"lstm.weight_hh_l{layer}"]], 1)
    bias = weights[f"lstm.bias_ih_l{layer}"] + weights[f"lstm.bias_hh_l{layer}"]
    inputs = graph.add("Concat", *below, h, axis=1)
    gates = graph.linear(inputs, both[order], bias[order])
    gated, candidate = graph.split(gates, [3 * H, H])
    keep_in, keep, keep_out = graph.split(graph.add("Sigmoid", gated), [H] * 3)
    fresh = graph.add("Mul", keep_in, graph.add("Tanh", candidate))
    c = graph.add("Add", graph.add("Mul", keep, c), fresh)
    return graph.add("Mul", keep_out, graph.add("Tanh", c)), c


def _memory(
    graph: "_Graph", architecture: Architecture, weights: Weights, category: str, memory: str
) -> tuple[str, str]:
    """The running mean of category embeddings, as in IntentNetwork. The last column of the table is its weight."""
    table = weights["memory.weight"]
    table = np.concatenate([table, np.ones((len(table), 1), table.dtype)], 1)
    # Bucket 0 is "no category": its rate is 0, so that such an event leaves the memory as it is.
    rates = np.full((len(table), 1), architecture.memory_rate, np.float32)
    rates[0] = 0.0
    fresh, rate = (graph.add("Gather", graph.constant(rows), category) for rows in (table, rates))
    memory = graph.add("Add", memory, graph.add("Mul", rate, graph.add("Sub", fresh, memory)))
    total, weight = graph.split(memory, [architecture.memory, 1])
    least = graph.constant(np.array(LEAST_WEIGHT, np.float32))
    return graph.add("Div", total, graph.add("Max", weight, least)), memory


def heads_graph(card: Card, weights: Weights) -> ModelProto:
    """trunk (N, T) -> tasks, survival, top, top_scores as in `engine.Scores`."""
    graph = _Graph()
    days, last = len(SURVIVAL_DAYS), offered(card.categories)
    now, recalled = graph.split("trunk", [weights["body.weight"].shape[1], card.architecture.memory])
    shared = graph.add("Relu", graph.linear(now, weights["body.weight"], weights["body.bias"]))
    hazard = graph.linear(shared, weights["hazard.weight"], weights["hazard.bias"])
    # log S is minus the running sum of softplus(z): a product with a triangle of -1 does sum and sign at once.
    triangle = -np.triu(np.ones((days, days), np.float32))
    logs = graph.add("MatMul", graph.add("Softplus", hazard), graph.constant(triangle))
    graph.add("Exp", logs, out="survival")
    columns, signs, shifts = (graph.constant(part) for part in survival.weights(card.tasks))
    chosen = graph.add("Mul", graph.add("Gather", "survival", columns, axis=1), signs)
    graph.add("Add", chosen, shifts, out="tasks")
    both = graph.add("Concat", shared, recalled, axis=1)
    logits = graph.linear(both, weights["categories.weight"], weights["categories.bias"])
    shares = graph.add("Softmax", logits, axis=1)
    bounds = [graph.constant(np.array([value], np.int64)) for value in (0, last, 1)]
    shares = graph.add("Slice", shares, *bounds)
    count = graph.constant(np.array([min(TOP, last)], np.int64))
    graph.nodes.append(helper.make_node("TopK", [shares, count], ["top_scores", "top64"], axis=1))
    graph.add("Cast", "top64", to=TensorProto.INT32, out="top")
    return graph.model(
        "heads",
        {"trunk": (TensorProto.FLOAT, card.architecture.trunk_size(card.features))},
        {
            "tasks": (TensorProto.FLOAT, len(card.tasks)),
            "survival": (TensorProto.FLOAT, days),
            "top": (TensorProto.INT32, min(TOP, last)),
            "top_scores": (TensorProto.FLOAT, min(TOP, last)),
        },
    )


class _Graph:
    """Nodes and constants of a graph under construction; every value is named by the order it was added in."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, kind: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:
        out = out or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], **attributes))
        return out

    def constant(self, value: np.ndarray) -> str:
        name = f"w{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def linear(self, value: str, weight: np.ndarray, bias: np.ndarray) -> str:
        """value @ weight.T + bias, with the weight laid out as torch stores it."""
        return self.add("Gemm", value, self.constant(weight.T), self.constant(bias))

    def split(self, value: str, sizes: list[int]) -> list[str]:
        names = [f"v{len(self.nodes)}.{part}" for part in range(len(sizes))]
        lengths = self.constant(np.array(sizes, np.int64))
        self.nodes.append(helper.make_node("Split", [value, lengths], names, axis=1))
        return names

    def model(
        self, name: str, inputs: dict[str, tuple[int, int]], outputs: dict[str, tuple[int, int]]
    ) -> ModelProto:
        def infos(values: dict[str, tuple[int, int]]) -> list[Any]:
            return [
                helper.make_tensor_value_info(key, kind, ["rows", n]) for key, (kind, n) in values.items()
            ]

        graph = helper.make_graph(self.nodes, name, infos(inputs), infos(outputs), self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
        checker.check_model(model)
        return model


def _session(model: ModelProto, threads: int | None) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # the broker wants the core, too
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
