"""Markov: how often an item followed another. With a reach beyond one step these are sequential rules."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np
from scipy import sparse

from models.families import store
from models.families.interface import Floats, Sessions
from models.families.sessions import batches, checked, last_items, owners


class Markov:
    """Scores are counts of (last item, next item), divided by those of the last item.

    reach: how many steps on an item may still be what followed; one `d` steps on counts 1/d (sequential rules, SR, of
    Ludewig & Jannach 2018, doi 10.1007/s11257-018-9209-6). 1 is the first-order chain.
    """

    logits = False

    def __init__(self, reach: int = 1) -> None:
        if reach < 1:
            raise ValueError(f"reach: {reach}; want at least 1 step")
        self.reach = reach
        self.n_items = 0
        self.followed = sparse.csr_array((0, 0), dtype=np.float32)

    def fit(self, sessions: Sessions, seed: int = 0) -> Self:
        """Counts. Raises ValueError as `checked` does."""
        checked(sessions)
        self.n_items = n = sessions.n_items
        of, items = owners(sessions), sessions.items
        counts = sparse.csr_array((n, n), dtype=np.float32)
        for step in range(1, self.reach + 1):
            same = of[step:] == of[:-step]
            pairs = items[:-step][same], items[step:][same]
            counts += sparse.csr_array((np.full(same.sum(), 1 / step, np.float32), pairs), (n, n))
        sums = counts.sum(1)
        counts.data /= np.repeat(sums, np.diff(counts.indptr))
        self.followed = counts
        return self

    def predict(self, sessions: Sessions) -> Iterator[Floats]:
        """See Ranker."""
        for some in batches(checked(sessions, self.n_items)):
            yield self.followed[last_items(some)].toarray()

    def export(self, folder: Path) -> None:
        """See Ranker."""
        rows = self.followed
        arrays = {"data": rows.data, "indices": rows.indices, "indptr": rows.indptr}
        store.write(folder, "markov", {"reach": self.reach}, arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """See Ranker."""
        settings, arrays = store.read(folder, "markov")
        made = cls(**settings)
        made.n_items = len(arrays["indptr"]) - 1
        parts = (arrays["data"], arrays["indices"], arrays["indptr"])
        made.followed = sparse.csr_array(parts, (made.n_items, made.n_items))
        return made
