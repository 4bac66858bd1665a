"""The interfaces of the families: what a model is given, and what it gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]


class TableModel(Protocol):
    """Learns a label from a table of numbers. NaN in a table means "not known" and is allowed."""

    def fit(self, inputs: Array, labels: Array, seed: int = 0, groups: Array | None = None) -> Self:
        """inputs (N, F), labels (N,): 0/1, or amounts for a model of amounts. One seed gives one result on a CPU.

        groups (N,): whose row it is; where a model holds rows out or folds them, those of one group stay together.
        Raises ValueError, with the mend, when there is nothing to learn from: no rows, or one class only.
        """

    def predict(self, inputs: Array) -> npt.NDArray[np.float64]:
        """P(label) (N,), or the expected amount, of inputs (N, F)."""

    def export(self, folder: Path) -> None:
        """Writes what `load` of the same class needs into `folder`."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The model that `export` wrote; its predictions are equal to the bit."""


@dataclass(frozen=True)
class Sessions:
    """Sequences of items. items: int32 (N,), 0 … n_items-1, a session's together in order. bounds: int64 (S+1,)."""

    items: Array
    bounds: Array
    n_items: int

    def __len__(self) -> int:
        return len(self.bounds) - 1


class Ranker(Protocol):
    """Ranks all items by how likely each is the next of a session. Raises ValueError for no sessions or unknown items."""

    @property
    def n_items(self) -> int:
        """What it learned from."""

    logits: bool  # scores are log-probabilities but for a constant; otherwise they are weights >= 0

    def fit(self, sessions: Sessions, seed: int = 0) -> Self:
        """Learns from whole sessions."""

    def predict(self, sessions: Sessions) -> Iterator[Floats]:
        """Scores (b, n_items) of the item after the last of each session, in batches, in the order of the sessions."""

    def export(self, folder: Path) -> None:
        """Writes what `load` of the same class needs into `folder`."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The model that `export` wrote."""


class SteppingRanker(Ranker, Protocol):
    """A ranker that carries its state: what a live worker needs of it."""

    state_size: int  # S, float32 per session; zeros for a new one

    def step(self, items: Array, state: Floats) -> tuple[Floats, Floats]:
        """One more item (B,) in each of B sessions with state (B, S) -> scores (B, n_items), state (B, S).

        Equal to `predict` of the whole session within 1e-5 (of a sliding window: while the session fits it).
        """
