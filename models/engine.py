"""The one interface between the live path and a model: one step per event with carried state, then the heads.

Backends: `onnx` (CPU, ONNX Runtime; loads no torch) and `torch` (CPU or CUDA). Both read the same release and agree
within 1e-5; a parity test holds them to it.
"""

from typing import Any, NamedTuple, Protocol, cast

import numpy as np
import numpy.typing as npt

from models import trunks
from models.architecture import Architecture, Weights
from models.featurizer import FeatureSpec
from models.release import OTHER, Card, NotFinite, Release, ReleaseProblem, read
from models.survival import SURVIVAL_DAYS
from models.tasks import split

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]

TOP = 5  # next categories per event


class Scores(NamedTuple):
    """What the heads say of N events.

    tasks: float32 (N, len(engine.tasks)), probabilities and amounts in the order of engine.tasks.
    survival: float32 (N, 13), probability of no purchase up to each of SURVIVAL_DAYS.
    top: int32 (N, TOP), the likeliest next categories as positions in engine.categories, best first, without OTHER.
    top_scores: float32 (N, TOP), their probabilities. Fewer columns when the vocabulary is smaller.
    """

    tasks: Floats
    survival: Floats
    top: Ints
    top_scores: Floats

    def only(self, rows: npt.NDArray[np.bool_]) -> "Scores":
        """The scores of these events."""
        return Scores(self.tasks[rows], self.survival[rows], self.top[rows], self.top_scores[rows])

    def finite(self) -> npt.NDArray[np.bool_]:
        """Which events (N,) have numbers throughout: a number that is none makes its row's sum none, too."""
        if np.isfinite(self.tasks.sum() + self.survival.sum() + self.top_scores.sum()):
            return np.ones(len(self.tasks), np.bool_)
        total = self.tasks.sum(1) + self.survival.sum(1) + self.top_scores.sum(1)
        return cast(npt.NDArray[np.bool_], np.isfinite(total))


class Engine(Protocol):
    """A loaded release. Thread-safe for calls one at a time; arrays given are only read, arrays returned are new."""

    description: str  # backend and device, printed at start
    release_id: str
    state_size: int  # S, float32 per shopper; zeros for a new one. See Architecture.state_size
    trunk_size: int  # T
    tasks: tuple[str, ...]
    categories: tuple[str, ...]

    def step(self, ids: Ints, dense: Floats, hidden: Floats) -> tuple[Floats, Floats]:
        """One event each of B shoppers: ids (B, 4), dense (B, D), hidden (B, S) -> trunk (B, T), hidden (B, S)."""

    def heads(self, trunk: Floats) -> Scores:
        """Scores of N trunks (N, T)."""


def probe(engine: Engine, spec: FeatureSpec) -> None:
    """NotFinite unless the engine gives finite scores for a first event and for one on top of it."""
    ids = np.ones((2, 4), np.int32)
    dense = np.stack([np.zeros(spec.dense_size, np.float32), np.ones(spec.dense_size, np.float32)])
    hidden = np.zeros((2, engine.state_size), np.float32)
    for _ in range(2):
        trunk, hidden = engine.step(ids, dense, hidden)
    if not engine.heads(trunk).finite().all():
        raise NotFinite(
            f"release {engine.release_id} gives scores that are no finite numbers: its weights are damaged or its "
            "training diverged; train a new one"
        )


def load(
    uri: str,
    backend: str = "onnx",
    device: str = "auto",
    threads: int | None = 1,
    precision: str = "float32",
) -> Engine:
    """The engine of the release in folder `uri`. ReleaseProblem or ValueError says why not.

    backend: "onnx" or "torch". device: "cpu", "cuda" or "auto" (onnx: cpu; torch: cuda where there is one).
    threads: CPU threads of one call; None leaves the library's default. One per worker process is best: two raise
    throughput by little and the latency of small batches tenfold. For torch this is a setting of the whole process.
    precision: of the trunk's matrix products: "float32"; "int8" (onnx); "float16" or "bfloat16" (torch, for a GPU).
    """
    release = read(uri)
    weights = release.weights()
    check_shapes(release, weights)
    if backend == "onnx":
        if device == "cuda":
            raise ValueError("engine onnx runs on the CPU: set device to cpu or auto, or engine to torch")
        if precision not in ("float32", "int8"):
            raise ValueError(
                f"engine onnx computes in float32 or int8: set engine_precision {precision} back, or engine to torch"
            )
        from models.engine_onnx import EngineOnnx

        return EngineOnnx(release, weights, threads, precision)
    if backend == "torch":
        from models.engine_torch import EngineTorch

        return EngineTorch(release, weights, device, threads, precision)
    raise ValueError(f"engine {backend!r}: want onnx or torch")


def offered(categories: tuple[str, ...]) -> int:
    """How many of the categories, from the front, may be offered as a next category: all but a closing OTHER."""
    return len(categories) - (bool(categories) and categories[-1] == OTHER)


def check_shapes(release: Release, weights: Weights) -> None:
    """ReleaseProblem unless the weights are those that the card's architecture names."""
    card = release.card
    wanted = _shapes(card, card.features, card.architecture)
    found = {name: value.shape for name, value in weights.items()}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise ReleaseProblem(
                f"{release.uri}: weight {name} has shape {found.get(name)}, the architecture wants "
                f"{wanted.get(name)}: release.json and model.safetensors do not belong together; train a new release"
            )


def _shapes(card: Card, spec: FeatureSpec, architecture: Architecture) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for column, size in enumerate(zip(spec.vocabulary(), architecture.embeddings(), strict=True)):
        shapes[f"embed.{column}.weight"] = size
    shapes["memory.weight"] = (spec.category_buckets, architecture.memory)
    shapes |= trunks.shapes(architecture, architecture.input_size(spec))
    heads: dict[str, tuple[int, int]] = {
        "body": (architecture.head, architecture.body_size(spec)),
        "hazard": (len(SURVIVAL_DAYS), architecture.head),
        "categories": (len(card.categories), architecture.head + architecture.memory),
    }
    extra = split(card.tasks).extra
    if extra:
        heads["extra"] = (len(extra), architecture.head + architecture.shares)
    for name, shape in heads.items():
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = shape, shape[:1]
    return shapes


def in_chunks(rows: int, size: int) -> list[slice]:
    """Slices of at most `size` rows that cover `rows`; one empty slice when there are none."""
    return [slice(start, start + size) for start in range(0, max(rows, 1), size)]


def joined(parts: list[Any]) -> Any:
    """Chunks put together again, without a copy when there is only one."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
