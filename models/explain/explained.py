"""What a score rests on, as a report shows it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.explain.gradients import Attribution
from models.explain.permutation import Importance


@dataclass(frozen=True)
class Explained:
    """Of one task.

    inputs: rise of the log loss at `moments` moments when an input of the release is shuffled. trees, columns: of
    LightGBM on aggregates, where it is installed, mean absolute TreeSHAP and rise of its log loss by column. events: types
    of one shopper's latest events, oldest first; attribution: what each moved the shopper's score by; attention:
    (layers, T, T) of a transformer.
    """

    task: str
    moments: int
    inputs: tuple[Importance, ...]
    trees: dict[str, float]
    columns: tuple[Importance, ...]
    events: tuple[str, ...] = ()
    attribution: Attribution | None = None
    attention: npt.NDArray[np.float32] | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        found = self.attribution
        return {
            "task": self.task,
            "moments": self.moments,
            "inputs": [asdict(one) for one in self.inputs],
            "trees": self.trees,
            "columns": [asdict(one) for one in self.columns],
            "shopper": {
                "events": list(self.events),
                "score": None if found is None else found.score,
                "baseline": None if found is None else found.baseline,
                "moved": [] if found is None else found.events.tolist(),
                "attention": None if self.attention is None else self.attention.tolist(),
            },
        }
