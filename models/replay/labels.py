"""What came after each event: the targets that training and calibration learn from, and the categories to learn.

All of them end with the interval: a purchase after its end is as unknown as if it never came.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models import survival
from models.events import hash_names
from models.release import OTHER
from models.replay.dataset import PURCHASE, Sequences
from models.replay.history import DAY_MS

Array = npt.NDArray[Any]

LAPSE_DAYS = 30


@dataclass(frozen=True)
class Vocabulary:
    """Categories that the head tells apart, the most bought first, OTHER last. shares: (C,), how often each is bought."""

    names: tuple[str, ...]
    hashes: npt.NDArray[np.uint32]
    shares: npt.NDArray[np.float64]

    def codes(self, hashes: Array) -> npt.NDArray[np.int64]:
        """Position of each category hash (N,): OTHER for what is not in it, -1 for no category."""
        order = np.argsort(self.hashes[:-1], kind="stable")
        known = self.hashes[:-1][order]
        at = np.minimum(np.searchsorted(known, hashes), max(len(known) - 1, 0))
        other = len(self.names) - 1
        found = np.where(known[at] == hashes, order[at], other) if len(known) else np.full(len(hashes), other)
        return np.asarray(np.where(hashes == 0, -1, found), np.int64)


@dataclass(frozen=True)
class Labels:
    """Targets of N events.

    survived int64, bought bool: as in `survival.Target`. days: float64, to the next purchase, inf = none seen.
    quiet_days: float64, how long the moment after the event can be asked about: until the shopper's next event, and so
    that a lapse from there is still decided within the data; 0 where not.
    basket: int64, next basket (position in `purchases`), -1 = none seen; categories: the baskets' distinct categories,
    basket b has `codes[starts[b]:starts[b+1]]`.
    """

    survived: Array
    bought: Array
    days: Array
    quiet_days: Array
    basket: Array
    codes: Array
    starts: Array


@dataclass(frozen=True)
class Bought:
    """Purchase lines by category. hashes: uint32 (C,), rising, without 0; counts: int64 (C,); names: by hash."""

    hashes: Array
    counts: Array
    names: dict[int, str]

    @classmethod
    def of(cls, sequences: Sequences) -> Bought:
        bought = sequences.events["category"][sequences.events["type"] == PURCHASE]
        hashes, counts = np.unique(bought[bought != 0], return_counts=True)
        return cls(hashes, counts, {code: sequences.category_names[code] for code in hashes.tolist()})

    def __add__(self, other: Bought) -> Bought:
        hashes, at = np.unique(np.concatenate([self.hashes, other.hashes]), return_inverse=True)
        counts = np.zeros(len(hashes), np.int64)
        np.add.at(counts, at, np.concatenate([self.counts, other.counts]))
        return Bought(hashes, counts, self.names | other.names)


def vocabulary(bought: Bought, most: int) -> Vocabulary:
    """The `most` most bought categories, by number of purchase lines."""
    top = np.argsort(-bought.counts, kind="stable")[:most]
    names = (*(bought.names[int(code)] for code in bought.hashes[top]), OTHER)
    rest = bought.counts.sum() - bought.counts[top].sum()
    shares = np.append(bought.counts[top], max(int(rest), 1)) + 1.0
    return Vocabulary(names, np.append(hash_names(list(names[:-1])), np.uint32(0)), shares / shares.sum())


def label(sequences: Sequences, words: Vocabulary, seen_until: int) -> Labels:
    """Targets of all rows from what happened before `seen_until` (ms). Rows at or after it must not be learnt from."""
    purchases, times = sequences.purchases, sequences.events["time"]
    days = purchases.days_to_next(sequences.shopper, times, seen_until)
    target = survival.target(days, np.maximum(seen_until - times, 0) / DAY_MS)
    basket = np.where(np.isfinite(days), purchases.next_basket(sequences.shopper, times), -1)
    codes, starts = basket_categories(sequences, words)
    return Labels(target.survived, target.bought, days, _quiet(sequences, seen_until), basket, codes, starts)


def basket_categories(sequences: Sequences, words: Vocabulary) -> tuple[Array, Array]:
    """Distinct categories of every basket: codes (K,), and starts (B+1,) into them."""
    purchases, events = sequences.purchases, sequences.events
    codes = words.codes(events["category"])
    rows = np.flatnonzero((events["type"] == PURCHASE) & (codes >= 0))
    at = purchases.before(sequences.shopper[rows], events["time"][rows])
    pairs = np.unique(at * len(words.names) + codes[rows])
    return pairs % len(words.names), np.searchsorted(pairs // len(words.names), np.arange(len(purchases) + 1))


def _quiet(sequences: Sequences, seen_until: int) -> Array:
    times = sequences.events["time"]
    until = np.full(len(times), seen_until, np.int64)
    until[:-1] = np.where(sequences.shopper[1:] == sequences.shopper[:-1], times[1:], seen_until)
    until = np.minimum(until, seen_until - LAPSE_DAYS * DAY_MS)
    return np.asarray(np.where(sequences.last, np.maximum(until - times, 0), 0) / DAY_MS)
