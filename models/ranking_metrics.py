"""How good rankings of all items were: recall, mean reciprocal rank and discounted gain of the first k.

Models that count (popularity, Markov, neighbours) give many items the same score. Ties are ranked fairly: a metric is its
expectation when equal scores stand in random order, so a model gains nothing from ties and loses nothing by them, and one
that scores all items alike gets what drawing lots gets.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.families.interface import Array, Floats

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Places:
    """Where the true items stand. above: int64 (N,), items with a higher score. tied: int64 (N,), with the same, itself
    among them."""

    above: Counts
    tied: Counts

    def recall(self, k: int) -> float:
        """Share of rows whose true item is among the first k. With one true item it is the hit rate, called P@k too."""
        return self._mean(np.ones(k))

    def reciprocal_rank(self, k: int) -> float:
        """Mean of 1 / rank, 0 beyond k: MRR@k."""
        return self._mean(1 / np.arange(1, k + 1))

    def discounted_gain(self, k: int) -> float:
        """Mean of 1 / log2(1 + rank), 0 beyond k: NDCG@k of one true item."""
        return self._mean(1 / np.log2(np.arange(2, k + 2)))

    def _mean(self, gains: npt.NDArray[np.float64]) -> float:
        """Mean over rows of the gain at the true item's rank, itself the mean over the ranks that its ties share."""
        k, upto = len(gains), np.concatenate([[0.0], np.cumsum(gains)])
        first, last = np.minimum(self.above, k), np.minimum(self.above + self.tied, k)
        return float(np.mean((upto[last] - upto[first]) / self.tied))


def places(scores: Iterable[Floats], targets: Array) -> Places:
    """Batches of scores (b, n_items) of N rows in order, targets int (N,) -> their places.

    Raises ValueError when there are no rows, more or fewer rows than targets, or a score is not a number.
    """
    above, tied, start = [], [], 0
    for batch in scores:
        wanted = np.asarray(targets[start : start + len(batch)], np.int64)
        start += len(batch)
        if len(wanted) < len(batch):
            break
        own = np.take_along_axis(batch, wanted[:, None], 1)
        above.append((batch > own).sum(1))
        tied.append((batch == own).sum(1))
        if not tied[-1].all() or np.isnan(np.min(batch)):
            raise ValueError("ranking: a score is NaN; the model that made it has diverged")
    if not start or start != len(targets):
        raise ValueError(
            f"ranking: {start} rows or more for {len(targets)} targets; want as many, at least one"
        )
    return Places(np.concatenate(above), np.concatenate(tied))
