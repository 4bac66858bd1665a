"""ADWIN: a window over a series that shrinks when the mean of its older part differs from that of its newer one.

Bifet & Gavaldà, "Learning from time-changing data with adaptive windowing", SDM 2007, the version with exponential buckets
(ADWIN2): memory and time per check grow with the logarithm of the window. The bound is that of section 3.2 for a normal
approximation, with delta' = delta / ln n, as only some ln n cuts are looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

BUCKETS = 5  # of one size, before two are merged
CLOCK = 32  # values between two looks
LEAST = 5  # values in either part of a cut


@dataclass
class _Bucket:
    """n values: their sum, and the sum of their squared distances from their mean."""

    n: int
    total: float
    spread: float

    def joined(self, other: _Bucket) -> _Bucket:
        return _Bucket(
            self.n + other.n, self.total + other.total, self.spread + other.spread + _between(self, other)
        )


class Adwin:
    """delta: chance of a false alarm. Values should lie within [0, 1] or so: the bound is absolute."""

    def __init__(self, delta: float = 0.002) -> None:
        if not 0 < delta < 1:
            raise ValueError(f"delta is {delta}; want a chance between 0 and 1")
        self._delta, self._ticks = delta, 0
        self._rows: list[list[_Bucket]] = []  # row i: buckets of 2^i values, oldest first
        self._window = _Bucket(0, 0.0, 0.0)

    @property
    def width(self) -> int:
        """Values in the window."""
        return self._window.n

    @property
    def mean(self) -> float:
        """Of the window; 0 when it is empty."""
        return self._window.total / self._window.n if self._window.n else 0.0

    def update(self, value: float) -> bool:
        """Takes a value in; whether the mean has changed, and the older part of the window was dropped."""
        one = _Bucket(1, value, 0.0)
        self._window = one if not self._window.n else self._window.joined(one)
        self._insert(one)
        self._ticks += 1
        changed = False
        while self._ticks % CLOCK == 0 and self._cut():
            self._drop_oldest()
            changed = True
        return changed

    def _insert(self, bucket: _Bucket) -> None:
        for size in range(len(self._rows) + 1):
            if size == len(self._rows):
                self._rows.append([])
            row = self._rows[size]
            row.append(bucket)
            if len(row) <= BUCKETS:
                return
            bucket = row.pop(0).joined(row.pop(0))

    def _cut(self) -> bool:
        """Whether the window can be cut in two parts of different means."""
        n = self._window.n
        if n < 2 * LEAST:
            return False
        log, variance, older = (
            math.log(2 * math.log(n) / self._delta),
            self._window.spread / n,
            _Bucket(0, 0.0, 0.0),
        )
        for bucket in self._oldest_first():
            older = _Bucket(older.n + bucket.n, older.total + bucket.total, 0.0)
            newer = n - older.n
            if newer < LEAST:
                return False
            if older.n >= LEAST:
                apart = abs(older.total / older.n - (self._window.total - older.total) / newer)
                inverse = 1 / (older.n - LEAST + 1) + 1 / (newer - LEAST + 1)
                if apart > math.sqrt(2 * inverse * variance * log) + 2 / 3 * inverse * log:
                    return True
        return False

    def _drop_oldest(self) -> None:
        oldest = self._rows[-1].pop(0)
        while self._rows and not self._rows[-1]:
            self._rows.pop()
        rest = _Bucket(self._window.n - oldest.n, self._window.total - oldest.total, 0.0)
        rest.spread = max(self._window.spread - oldest.spread - _between(rest, oldest), 0.0)
        self._window = rest

    def _oldest_first(self) -> Iterator[_Bucket]:
        for row in reversed(self._rows):
            yield from row


def changes(values: Iterable[float], delta: float = 0.002) -> list[int]:
    """Positions at which a change of the mean was noticed."""
    window = Adwin(delta)
    return [at for at, value in enumerate(values) if window.update(value)]


def _between(one: _Bucket, other: _Bucket) -> float:
    """What the distance of their means adds to the spread of both together."""
    apart = one.total / one.n - other.total / other.n
    return apart * apart * one.n * other.n / (one.n + other.n)
