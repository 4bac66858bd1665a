"""The engine in ONNX Runtime, on the CPU: two graphs written here from a release's weights, without torch.

step:  ids, dense, hidden ─► Gather embeddings ─► the trunk's step (onnx_trunks.py); memory ─► trunk, hidden
heads: trunk ─► relu layer ─► survival curve and its scores; softmax over categories ─► top five (in numpy)
"""

import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import ModelProto, TensorProto, helper

from models import onnx_trunks, survival, trunks
from models.architecture import (
    HABIT_PRIOR,
    HABIT_RATES,
    HABIT_SCALE,
    LEAST_WEIGHT,
    RECALL_CODES,
    TYPES,
    Architecture,
    Weights,
    lateness,
)
from models.engine import TOP, Floats, Ints, Scores, in_chunks, joined, offered
from models.featurizer import DENSE
from models.onnx_graph import Graph
from models.release import Card, Release
from models.survival import SURVIVAL_DAYS
from models.tasks import MOST_LOG, Split, split

CHUNK_ROWS = (
    2048  # of one call: time per row is flat from 32 rows on, and a bounded call keeps its arena small
)
_MOMENT = ("log_since_previous", "first_event")  # 0 where an event is of the moment of the one before
HEADS_ROWS = 512  # of one call: the shares of all categories stay in the CPU's cache until the best are found


class EngineOnnx:
    """See `models.engine.Engine`. precision: float32, or int8 of the step's products; the heads are float32."""

    def __init__(
        self, release: Release, weights: Weights, threads: int | None, precision: str = "float32"
    ) -> None:
        card = release.card
        self.description = f"onnx {ort.__version__} on cpu, {precision}, {threads or 'all'} thread(s)"
        self.release_id = release.id
        self.tasks, self.categories = card.tasks, card.categories
        self.state_size = card.architecture.state_size
        self.trunk_size = card.architecture.trunk_size(card.features)
        folded = card.calibration.folded(weights)
        step = step_graph(card, folded)
        self._step = _session(in_int8(step) if precision == "int8" else step, threads)
        self._heads = _session(heads_graph(card, folded, pick=False), threads)

    def step(self, ids: Ints, dense: Floats, hidden: Floats) -> tuple[Floats, Floats]:
        trunks, states = [], []
        for rows in in_chunks(len(ids), CHUNK_ROWS):
            feed = {"ids": ids[rows], "dense": dense[rows], "hidden": hidden[rows]}
            trunk, after = self._step.run(None, feed)
            trunks.append(trunk)
            states.append(after)
        return joined(trunks), joined(states)

    def heads(self, trunk: Floats) -> Scores:
        parts = []
        for rows in in_chunks(len(trunk), HEADS_ROWS):
            tasks, survival, shares = self._heads.run(None, {"trunk": trunk[rows]})
            parts.append((tasks, survival, *_best(shares)))
        return Scores(*(joined(list(column)) for column in zip(*parts, strict=True)))


def _best(shares: Floats) -> tuple[Ints, Floats]:
    """The TOP largest of each row (N, C) and where they stand, largest first; spoils `shares`.

    One argmax after another: for five of 300 that takes less than half the time of TopK in ONNX Runtime.
    """
    count, width = len(shares), shares.shape[1]
    top, scores = np.empty((count, min(TOP, width)), np.int32), np.empty((count, min(TOP, width)), np.float32)
    flat, first = shares.reshape(-1), np.arange(0, count * width, max(width, 1))
    for place in range(top.shape[1]):
        best = shares.argmax(1)
        top[:, place] = best
        best += first
        scores[:, place] = flat[best]
        flat[best] = -1.0  # below any share
    return top, scores


def step_graph(card: Card, weights: Weights) -> ModelProto:
    """One event each of B shoppers: ids (B, 4), dense (B, D), hidden (B, S) -> trunk (B, T), after (B, S)."""
    spec, architecture = card.features, card.architecture
    graph = Graph()
    columns = range(len(architecture.embeddings()))
    ids = [
        graph.add("Gather", "ids", graph.constant(np.array(column, np.int64)), axis=1) for column in columns
    ]
    parts = [
        graph.add("Gather", graph.constant(weights[f"embed.{column}.weight"]), ids[column])
        for column in columns
    ]
    sizes = [*trunks.state_parts(architecture), architecture.habits_size, architecture.recall_size]
    *state, memory = graph.split("hidden", [size for size in (*sizes, architecture.memory + 1) if size])
    *state, recalled = state if architecture.recall else [*state, ""]
    *state, usual = state if architecture.habits else [*state, ""]
    mine = {
        name.removeprefix("trunk."): value for name, value in weights.items() if name.startswith("trunk.")
    }
    seen, moved_on, again = [], [], None
    if architecture.habits:
        shares, moved = _habits(graph, ids[2], usual)
        seen.append(shares)
        moved_on.append(moved)
    if architecture.recall:
        found, again, moved = _recall(graph, architecture, ids, recalled)
        seen += found
        moved_on.append(moved)
    top, after = onnx_trunks.step(graph, architecture, mine, [*parts, "dense", *seen], state)
    recalled, memory = _memory(graph, architecture, weights, ids[1], again, memory)
    graph.add("Concat", top, "dense", *seen, recalled, axis=1, out="trunk")
    graph.add("Concat", *after, *moved_on, memory, axis=1, out="after")
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


def _recall(
    graph: Graph, architecture: Architecture, ids: list[str], carried: str
) -> tuple[list[str], str, str]:
    """How often and how lately item and category are among those carried, whether the category is (B, 1) among those of
    this moment, and what is carried on. As in models/recall.py."""
    reach = architecture.recall
    items, categories, count = graph.split(carried, [reach, reach, 1])
    _, often, items = _known(graph, reach, ids[0], items)
    category, moreover, categories = _known(graph, reach, ids[1], categories)
    zero, one, most = (graph.constant(np.array(value, np.float32)) for value in (0, 1, reach))
    since, first = (graph.columns("dense", at, at + 1) for at in (DENSE.index(name) for name in _MOMENT))
    going_on = graph.add("And", graph.add("Equal", since, zero), graph.add("Equal", first, zero))
    count = graph.add("Min", graph.add("Add", count, one), most)
    count = graph.add("Mul", count, graph.add("Cast", going_on, to=TensorProto.FLOAT))
    ages = graph.constant(np.arange(reach, 0, -1, dtype=np.float32))
    within = graph.add("Cast", graph.add("LessOrEqual", ages, count), to=TensorProto.FLOAT)
    among = graph.add("ReduceMax", graph.add("Mul", category, within), axes=[1], keepdims=1)
    again = graph.add("Greater", among, zero)
    return [*often, *moreover], again, graph.add("Concat", items, categories, count, axis=1)


def _known(graph: Graph, reach: int, id_: str, codes: str) -> tuple[str, list[str], str]:
    """Which of the codes (B, reach) are the id's (B,), how often and how lately it is among them, and those after it."""
    one, zero, many = (graph.constant(np.array(value, np.int32)) for value in (1, 0, RECALL_CODES))
    known = graph.add("Greater", id_, zero)
    code = graph.add("Add", graph.add("Mod", graph.add("Max", graph.add("Sub", id_, one), zero), many), one)
    code = graph.add("Mul", code, graph.add("Cast", known, to=TensorProto.INT32))
    code = graph.reshape(graph.add("Cast", code, to=TensorProto.FLOAT), -1, 1)
    same = graph.add("And", graph.add("Equal", codes, code), graph.reshape(known, -1, 1))
    same = graph.add("Cast", same, to=TensorProto.FLOAT)
    times = graph.add("ReduceSum", same, graph.constant(np.array([1], np.int64)), keepdims=1)
    often = graph.add("Log", graph.add("Add", times, graph.constant(np.array(1.0, np.float32))))
    lately = graph.add(
        "ReduceMax", graph.add("Mul", same, graph.constant(lateness(reach))), axes=[1], keepdims=1
    )
    line = graph.add("Concat", codes, code, axis=1)
    return same, [often, lately], graph.columns(line, 1, reach + 1)


def _habits(graph: Graph, kind: str, carried: str) -> tuple[str, str]:
    """Shares of the types after an event of type `kind` (B,), and what they are carried in. As in models/habits.py."""
    rates = np.array(HABIT_RATES, np.float32)
    count, width = len(rates), TYPES + 1
    came = np.concatenate([np.eye(TYPES, dtype=np.float32), np.ones((TYPES, 1), np.float32)], 1)
    each = np.repeat(rates, width)
    fresh = graph.add("Gather", graph.constant(np.tile(came, count) * each), kind)
    carried = graph.add("Add", graph.add("Mul", carried, graph.constant(1.0 - each)), fresh)
    rate = rates[:, None]
    before = (
        np.concatenate([np.full((count, TYPES), HABIT_PRIOR), np.full((count, 1), HABIT_PRIOR * TYPES)], 1)
        * rate
    )
    sums = graph.reshape(
        graph.add("Add", carried, graph.constant(before.reshape(-1).astype(np.float32))), -1, width
    )
    some, total = graph.split(sums, [TYPES, 1])
    logs = graph.add("Log", graph.add("Div", some, total))
    shares = graph.add("Div", logs, graph.constant(np.array(HABIT_SCALE, np.float32)))
    return graph.reshape(shares, -1, count * TYPES), carried


def _memory(
    graph: Graph, architecture: Architecture, weights: Weights, category: str, again: str | None, memory: str
) -> tuple[str, str]:
    """The running mean of category embeddings, as in IntentNetwork. The last column of the table is its weight."""
    table = weights["memory.weight"]
    table = np.concatenate([table, np.ones((len(table), 1), table.dtype)], 1)
    # Bucket 0 is "no category": its rate is 0, so that such an event leaves the memory as it is.
    rates = np.full((len(table), 1), architecture.memory_rate, np.float32)
    rates[0] = 0.0
    fresh, keep = (
        graph.add("Gather", graph.constant(rows), category) for rows in (table * rates, 1.0 - rates)
    )
    moved = graph.add("Add", graph.add("Mul", memory, keep), fresh)
    memory = graph.add("Where", again, memory, moved) if again else moved
    total, weight = graph.split(memory, [architecture.memory, 1])
    least = graph.constant(np.array(LEAST_WEIGHT, np.float32))
    return graph.add("Div", total, graph.add("Clip", weight, least)), memory


def heads_graph(card: Card, weights: Weights, pick: bool = True) -> ModelProto:
    """trunk (N, T) -> tasks, survival, top, top_scores as in `engine.Scores`.

    pick: False for the shares (N, C) of all categories that may be offered, in place of top and top_scores.
    """
    graph = Graph()
    now, recalled = graph.split("trunk", [weights["body.weight"].shape[1], card.architecture.memory])
    shared = graph.add("Relu", graph.linear(now, weights["body.weight"], weights["body.bias"]))
    kinds, shape = split(card.tasks), card.architecture
    first = shape.body_size(card.features) - shape.seen
    usual = [graph.columns(now, first, first + shape.shares)] if shape.shares else []
    graph.add(
        "Concat",
        _curve(graph, kinds.curve, weights, shared),
        *_others(graph, kinds, weights, [shared, *usual]),
        axis=1,
        out="tasks",
    )
    both = graph.add("Concat", shared, recalled, axis=1)
    logits = graph.linear(both, weights["categories.weight"], weights["categories.bias"])
    last, out = offered(card.categories), None if pick else "shares"
    if last == len(card.categories):
        shares = graph.add("Softmax", logits, axis=1, out=out)
    else:
        bounds = [graph.constant(np.array([value], np.int64)) for value in (0, last, 1)]
        shares = graph.add("Slice", graph.add("Softmax", logits, axis=1), *bounds, out=out)
    outputs: dict[str, tuple[int, int]] = {
        "tasks": (TensorProto.FLOAT, len(card.tasks)),
        "survival": (TensorProto.FLOAT, len(SURVIVAL_DAYS)),
    }
    if pick:
        count = graph.constant(np.array([min(TOP, last)], np.int64))
        graph.nodes.append(helper.make_node("TopK", [shares, count], ["top_scores", "top64"], axis=1))
        graph.add("Cast", "top64", to=TensorProto.INT32, out="top")
        outputs["top"] = (TensorProto.INT32, min(TOP, last))
        outputs["top_scores"] = (TensorProto.FLOAT, min(TOP, last))
    else:
        outputs["shares"] = (TensorProto.FLOAT, last)
    return graph.model(
        "heads", {"trunk": (TensorProto.FLOAT, card.architecture.trunk_size(card.features))}, outputs
    )


def _curve(graph: Graph, tasks: tuple[str, ...], weights: Weights, shared: str) -> str:
    """Output `survival`; returns the scores that are read off it.

    log S is the running sum of log(1 - hazard), and 1 - hazard is the sigmoid of minus the logit: one product with a
    triangle. Sigmoid and Log are vectorised in ONNX Runtime, Softplus, which would say the same, is not.
    """
    days = len(SURVIVAL_DAYS)
    stays = graph.add("Sigmoid", graph.linear(shared, -weights["hazard.weight"], -weights["hazard.bias"]))
    stays = graph.add("Max", stays, graph.constant(np.array(survival.FLOOR, np.float32)))
    triangle = graph.constant(np.triu(np.ones((days, days), np.float32)))
    graph.add("Exp", graph.add("MatMul", graph.add("Log", stays), triangle), out="survival")
    columns, signs, shifts = survival.weights(tasks)
    read = np.zeros((len(columns), days), np.float32)
    read[np.arange(len(columns)), columns] = signs
    return graph.linear("survival", read, shifts)


def _others(graph: Graph, kinds: Split, weights: Weights, read: list[str]) -> list[str]:
    """The scores of the tasks with logits of their own, by kind."""
    if not kinds.extra:
        return []
    both = graph.add("Concat", *read, axis=1) if len(read) > 1 else read[0]
    parts = graph.split(graph.linear(both, weights["extra.weight"], weights["extra.bias"]), kinds.sizes)
    most = graph.constant(np.array(MOST_LOG, np.float32))
    scores = [
        graph.add("Sigmoid", parts[0]),
        graph.add("Exp", graph.add("Min", parts[1], most)),
        graph.add("Softmax", parts[2], axis=1),
    ]
    return [score for score, size in zip(scores, kinds.sizes, strict=True) if size]


def in_int8(model: ModelProto) -> ModelProto:
    """The model with weights of 8 bits, a scale per output unit, and inputs rounded to 8 bits in every call.

    The scale of the inputs is that of the largest in the call, so that a row differs a little with its companions.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model.onnx")
        quantize_dynamic(model, path, ["MatMul", "Gemm"], per_channel=True, weight_type=QuantType.QInt8)
        return onnx.load(path)


def _session(model: ModelProto, threads: int | None) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # the broker wants the core, too
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
