"""Sizes of the network, layout of its carried state, and calibration: what both engines and training agree
on.

No torch here: a worker that serves with ONNX Runtime builds its graph from these and a release's weights
alone.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models import trunks
from models.events import EVENT_TYPES
from models.featurizer import FeatureSpec
from models.survival import SURVIVAL_DAYS

Weights = dict[str, npt.NDArray[Any]]

TYPES = len(EVENT_TYPES)
HABIT_RATES = (0.3, 0.03, 0.003)  # share of the newest event in running shares: they reach back 3, 30, 300
HABIT_PRIOR = 0.5  # times that every type counts as seen beforehand (Krichevsky & Trofimov 1981)
HABIT_SCALE = 3.0  # what logarithms of shares are divided by, to be inputs of some -2 … 0
SEEN = 4  # how often and how lately: item, category
RECALL_CODES = 2047  # ids are carried as numbers that 16-bit floats hold exactly
RECALL_HALVES = 4.0  # events until "lately" has halved
LEAST_WEIGHT = 1e-6  # of a memory; below it nothing was remembered yet


@dataclass(frozen=True)
class Architecture:
    """Sizes of an IntentNetwork. Weights are named as torch names them (see `models.network`)."""

    trunk: str = "lstm"  # what carries the state, one of trunks.KINDS
    sizes: tuple[int, ...] = (64, 64)  # units of its layers, from below
    kernel: int = 3  # events that a tcn's layer looks at
    window: int = 32  # events before the newest that a transformer looks at
    attention_heads: int = 4  # of a transformer
    item: int = 16  # embedding sizes
    category: int = 16
    type: int = 8
    device: int = 4
    head: int = 64  # units of the layer that both heads share
    memory: int = 64  # floats of the running mean of category embeddings, the shopper's taste
    recall: int = 0  # events back to which an item or category is known again; each costs two floats of state
    habits: bool = False  # whether running shares of event types are carried
    memory_rate: float = 0.005  # share of the newest event in that mean: it reaches back some 200 events
    dropout: float = 0.1  # in training only

    def __post_init__(self) -> None:
        trunks.check(self)

    @property
    def hidden(self) -> int:
        """Units of the top layer."""
        return self.sizes[-1]

    @property
    def state_size(self) -> int:
        """Floats carried per shopper, in this order: those of the trunk (of an LSTM [h1 | c1 | h2 | c2 | …]), habits, recalled
        items and categories and how many of them the moment has, memory, weight of the memory."""
        return sum(trunks.state_parts(self)) + self.past_size + self.memory + 1

    @property
    def habits_size(self) -> int:
        """Floats that habits are carried in."""
        return self.habits * len(HABIT_RATES) * (TYPES + 1)

    @property
    def recall_size(self) -> int:
        """Floats that recall is carried in."""
        return 2 * self.recall + 1 if self.recall else 0

    @property
    def past_size(self) -> int:
        """Floats of habits and recall."""
        return self.habits_size + self.recall_size

    @property
    def seen(self) -> int:
        """Floats that say what the shopper's events usually are, and how this one's item and category were seen before."""
        return self.shares + (SEEN if self.recall else 0)

    @property
    def shares(self) -> int:
        """Floats that say what the shopper's events usually are, the shares of longest reach last."""
        return self.habits * len(HABIT_RATES) * TYPES

    def embeddings(self) -> tuple[int, int, int, int]:
        """Embedding size of each id column, in the order of featurizer.ID_COLUMNS."""
        return self.item, self.category, self.type, self.device

    def input_size(self, spec: FeatureSpec) -> int:
        return sum(self.embeddings()) + spec.dense_size + self.seen

    def body_size(self, spec: FeatureSpec) -> int:
        """Top hidden layer beside the event's dense features: the heads read recency and frequency undiluted."""
        return self.hidden + spec.dense_size + self.seen

    def trunk_size(self, spec: FeatureSpec) -> int:
        """What `body` reads, then the memory, which only the category head reads."""
        return self.body_size(spec) + self.memory


# Sizes that go by a name: the default, and the classic ones of the field.
PRESETS = {
    "lstm": Architecture(),
    "lstm-128-64": Architecture(sizes=(128, 64), dropout=0.2),
    "lstm-128": Architecture(sizes=(128,)),
    "gru": Architecture("gru"),
    "rnn": Architecture("rnn"),
    "tcn": Architecture("tcn", (64, 64, 64, 64)),
    "transformer": Architecture("transformer"),
}


def lateness(reach: int) -> npt.NDArray[np.float32]:
    """2^(-age / RECALL_HALVES) of recalled events, oldest first (reach,); the event before has age 1."""
    return (2.0 ** (-np.arange(reach, 0, -1.0) / RECALL_HALVES)).astype(np.float32)


@dataclass(frozen=True)
class Calibration:
    """What was fitted on held-out shoppers after training: hazard logit z -> scale * z + shift per interval, the
    temperature that category logits are divided by, and scale and shift of the logits of other tasks (empty: as they
    are). The survival curve stays one curve, so scores stay consistent."""

    hazard_scale: tuple[float, ...] = (1.0,) * len(SURVIVAL_DAYS)
    hazard_shift: tuple[float, ...] = (0.0,) * len(SURVIVAL_DAYS)
    category_temperature: float = 1.0
    extra_scale: tuple[float, ...] = ()
    extra_shift: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name in ("hazard_scale", "hazard_shift"):
            values = getattr(self, name)
            if len(values) != len(SURVIVAL_DAYS) or not np.isfinite(values).all():
                raise ValueError(
                    f"{name}: want {len(SURVIVAL_DAYS)} finite numbers, one per survival day, got {values}"
                )
        if not (np.isfinite(self.category_temperature) and self.category_temperature > 0):
            raise ValueError(
                f"category_temperature: want a finite number above 0, got {self.category_temperature}"
            )
        if (
            len(self.extra_scale) != len(self.extra_shift)
            or not np.isfinite(self.extra_scale + self.extra_shift).all()
        ):
            raise ValueError(
                f"extra_scale {self.extra_scale} and extra_shift {self.extra_shift}: want as many finite numbers in both"
            )

    def folded(self, weights: Weights) -> Weights:
        """The weights with calibration multiplied into the two last layers: engines then need not know of
        it."""
        scale = np.array(self.hazard_scale, np.float32)
        shift = np.array(self.hazard_shift, np.float32)
        cool = np.float32(1.0 / self.category_temperature)
        others = {}
        if self.extra_scale:
            stretch, move = (np.array(part, np.float32) for part in (self.extra_scale, self.extra_shift))
            others = {
                "extra.weight": weights["extra.weight"] * stretch[:, None],
                "extra.bias": weights["extra.bias"] * stretch + move,
            }
        return {
            **weights,
            **others,
            "hazard.weight": weights["hazard.weight"] * scale[:, None],
            "hazard.bias": weights["hazard.bias"] * scale + shift,
            "categories.weight": weights["categories.weight"] * cool,
            "categories.bias": weights["categories.bias"] * cool,
        }
