"""The events of a batch by shopper, and the rounds in which a model takes them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]

_SHIFT = 32  # a batch has fewer events than 2 to this, and a matrix fewer rows than 2 to half of 64


class Groups(NamedTuple):
    """N events of G shoppers: a shopper's stand together, in the order of the batch."""

    order: Ints  # (N,) where each event stands in the batch
    owner: Ints  # (N,) its group
    slots: Ints  # (G,) of the groups' shoppers
    heads: Ints  # (G,) where each group begins
    counts: Ints  # (G,) its events

    @property
    def tails(self) -> Ints:
        """Where each group's last event stands (G,)."""
        return self.heads + self.counts - 1

    @property
    def place(self) -> Ints:
        """Of each event in its group (N,), from 0."""
        return np.arange(len(self.order)) - self.heads[self.owner]

    def only(self, wanted: Array) -> Groups:
        """Without the groups that are not wanted (G,)."""
        counts = self.counts[wanted]
        owner = np.repeat(np.arange(len(counts)), counts)
        return Groups(
            self.order[wanted[self.owner]], owner, self.slots[wanted], np.cumsum(counts) - counts, counts
        )

    def rounds(self) -> tuple[Ints, Ints, list[int]]:
        """The events as `Carried.steps` wants them, in rounds of one event per shopper.

        Returns the rows of the groups' order, round after round (N,); the groups, longest first (G,); the rounds' sizes.
        """
        if len(self.counts) == len(self.order):
            rows = np.arange(len(self.order))
            return rows, rows, [len(rows)]
        longest = np.argsort(-self.counts, kind="stable")
        place = self.place
        sizes = np.bincount(place)
        rank = np.empty_like(longest)
        rank[longest] = np.arange(len(longest))
        rows = np.empty_like(self.order)
        rows[(np.cumsum(sizes) - sizes)[place] + rank[self.owner]] = np.arange(len(rows))
        return rows, longest, sizes.tolist()


def by_shopper(slots: Ints, at: Ints) -> Groups:
    """Groups of the events `at` (N,), rising and at least one, of a batch whose shoppers are at slots."""
    keys = (slots[at] << _SHIFT) | at
    keys.sort()  # one sort of numbers takes an eighth of the time of a stable argsort
    order, by = keys & ((1 << _SHIFT) - 1), keys >> _SHIFT
    first = np.ones(len(order), bool)
    np.not_equal(by[1:], by[:-1], out=first[1:])
    heads = first.nonzero()[0]
    counts = np.empty_like(heads)
    np.subtract(heads[1:], heads[:-1], out=counts[:-1])
    counts[-1] = len(order) - heads[-1]
    return Groups(order, first.cumsum() - 1, by[heads], heads, counts)
