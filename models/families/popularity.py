"""Popularity: the most frequent items, and the most frequent of the session itself. The least a model has to beat."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np

from models.families import store
from models.families.interface import Array, Floats, Sessions
from models.families.sessions import batches, checked, owners


class Popularity:
    """Scores are shares of all training events; with `within_session`, S-POP, the session's own counts come first."""

    logits = False

    def __init__(self, within_session: bool = False) -> None:
        self.within_session = within_session
        self.n_items = 0
        self.shares: Array = np.empty(0, np.float32)

    def fit(self, sessions: Sessions, seed: int = 0) -> Self:
        """Counts. Raises ValueError as `checked` does."""
        checked(sessions)
        self.n_items = sessions.n_items
        counts = np.bincount(sessions.items, minlength=self.n_items)
        self.shares = (counts / counts.sum()).astype(np.float32)
        return self

    def predict(self, sessions: Sessions) -> Iterator[Floats]:
        """See Ranker. A share is below 1, so one event of the session outweighs all popularity."""
        for some in batches(checked(sessions, self.n_items)):
            scores = np.tile(self.shares, (len(some), 1))
            if self.within_session:
                np.add.at(scores, (owners(some), some.items), 1)
            yield scores

    def export(self, folder: Path) -> None:
        """See Ranker."""
        store.write(folder, "popularity", {"within_session": self.within_session}, {"shares": self.shares})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """See Ranker."""
        settings, arrays = store.read(folder, "popularity")
        made = cls(**settings)
        made.shares = arrays["shares"]
        made.n_items = len(made.shares)
        return made
