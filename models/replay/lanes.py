"""How shoppers' events become batches: lanes of shoppers of like length, in parts of some rounds, state carried over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_BLUR = 60  # events: shoppers whose lengths differ by less come together by chance


class Part(NamedTuple):
    """Some rounds of some shoppers: rows (N,) in packed order, shoppers that have a t-th event (T,), whether it is the first."""

    rows: Array
    batch_sizes: Array
    fresh: bool


def lanes(bounds: Array, shoppers: Array, size: int, rng: np.random.Generator) -> list[Array]:
    """Shoppers of about the same length together, longest first within, in random order. bounds: rows of all shoppers."""
    lengths = np.diff(bounds)
    length = lengths[shoppers]
    shoppers = shoppers[np.argsort(length + rng.integers(0, _BLUR, len(length)), kind="stable")]
    groups = np.split(shoppers, np.arange(size, len(shoppers), size))
    return [
        groups[at][np.argsort(-lengths[groups[at]], kind="stable")] for at in rng.permutation(len(groups))
    ]


def parts(bounds: Array, lanes: list[Array], rounds: int) -> Iterator[Part]:
    """Each lane's events, `rounds` of every shopper at a time."""
    for shoppers in lanes:
        starts = bounds[shoppers]
        left = bounds[shoppers + 1] - starts
        for first in range(0, int(left.max(initial=0)), rounds):
            at = np.arange(first, min(first + rounds, int(left[0])))
            there = at[:, None] < left
            yield Part((starts + at[:, None])[there], there.sum(axis=1), first == 0)
