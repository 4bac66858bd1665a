"""Spreads a checkpoint over batches: which changed rows go out with this batch, and when the redo offset may move.

A cycle begins by noting the source offset and which rows are changed. Every batch takes its share of them into its
own transaction. When all are out, every row holds at least the events before the noted offset, so that offset becomes
the redo offset (a fuzzy checkpoint, as in ARIES).
"""

from __future__ import annotations

import math

import numpy as np

from streams.rows import Rows, Slots
from streams.store import Checkpoint

EMPTY = np.empty(0, np.int64)


class Checkpointer:
    """Cycles of `interval` seconds over the changed rows of one partition."""

    def __init__(self, rows: Rows, interval: float, now: float, offset: int) -> None:
        self._rows, self._interval = rows, interval
        self._begin(now, offset)

    def _begin(self, now: float, offset: int) -> None:
        self._redo = offset
        self._started = now
        self._todo = np.flatnonzero(self._rows.dirty)
        self._total = len(self._todo)
        self.idle = self._total == 0

    def share(self, now: float, offset: int, release: str) -> tuple[Slots, Checkpoint | None]:
        """Slots to write with the batch that ends before `offset`, and the checkpoint if this completes a cycle.

        now: monotonic seconds. A cycle never ends before its interval is over, so an idle partition writes nothing.
        """
        elapsed = (now - self._started) / self._interval
        wanted = min(self._total, math.ceil(self._total * elapsed))
        due = wanted - (self._total - len(self._todo))
        taken, self._todo = (self._todo[:due], self._todo[due:]) if due > 0 else (EMPTY, self._todo)
        taken = taken[self._rows.dirty[taken]]  # an evicted row went out already
        if elapsed < 1.0 or len(self._todo):
            return taken, None
        done = None if self.idle and self._redo == offset else Checkpoint(self._redo, offset, release)
        self._begin(now, offset)
        # `taken` is about to be cleaned by the caller, so the new cycle must not list it
        self._todo = np.setdiff1d(self._todo, taken, assume_unique=True)
        self._total = len(self._todo)
        return taken, done
