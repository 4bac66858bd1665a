"""When each shopper bought: the one index that labels, baseline and evaluation ask about any moment.

A basket is all that a shopper bought at one moment (same event time). Every answer about the past uses purchases at or
before the moment only; every answer about the future is a label.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

DAY_MS = 86_400_000
NEVER = np.iinfo(np.int64).max  # time of a purchase that does not come


class Purchases:
    """Distinct purchase moments of shoppers 0 … n-1.

    shopper, time: int64 (B,), the baskets by shopper and then time. `keys` is both in one rising number.
    """

    def __init__(self, n_shoppers: int, shopper: Array, time: Array) -> None:
        """shopper int (N,), time ms (N,): purchase lines in any order. Raises ValueError when times span too far."""
        self.n_shoppers = n_shoppers
        self._low = int(time.min()) if len(time) else 0
        self._span = (int(time.max()) - self._low if len(time) else 0) + 3
        if self._span * max(n_shoppers, 1) >= 1 << 62:
            raise ValueError(
                f"purchases span {self._span} ms over {n_shoppers} shoppers: replay a shorter interval"
            )
        self.keys = np.unique(self.key(shopper, time))
        self.shopper = self.keys // self._span
        self.time = self.keys % self._span + self._low - 1
        self.first = np.searchsorted(self.shopper, np.arange(n_shoppers + 1))

    def __len__(self) -> int:
        return len(self.keys)

    def key(self, shopper: Array, moment: Array) -> Array:
        """Place on the common axis; moments before or after all purchases are cut to just before or after them."""
        inside = np.clip(np.asarray(moment, np.int64) - (self._low - 1), 0, self._span - 1)
        return np.asarray(np.asarray(shopper, np.int64) * self._span + inside)

    def up_to(self, shopper: Array, moment: Array) -> Array:
        """Position after the shopper's last basket at or before the moment (N,): also that of the next basket."""
        return np.searchsorted(self.keys, self.key(shopper, moment), side="right")

    def before(self, shopper: Array, moment: Array) -> Array:
        """The same for baskets strictly before the moment (N,)."""
        return np.searchsorted(self.keys, self.key(shopper, moment), side="left")

    def next_basket(self, shopper: Array, moment: Array) -> Array:
        """Position of the first basket strictly after the moment (N,), -1 where there is none."""
        at = self.up_to(shopper, moment)
        return np.where(at < self.first[np.asarray(shopper) + 1], at, -1)

    def next_time(self, shopper: Array, moment: Array) -> Array:
        """Time of the first purchase strictly after the moment, ms (N,); NEVER where there is none."""
        if not len(self):
            return np.full(len(shopper), NEVER)
        at = self.next_basket(shopper, moment)
        return np.where(at >= 0, self.time[np.maximum(at, 0)], NEVER)

    def count(self, shopper: Array, moment: Array, days: float | None = None) -> Array:
        """Baskets at or before the moment (N,), within the last `days` (None: ever)."""
        since = self.first[np.asarray(shopper)]
        if days is not None:
            since = np.maximum(since, self.up_to(shopper, np.asarray(moment) - round(days * DAY_MS)))
        return np.asarray(self.up_to(shopper, moment) - since)

    def days_to_next(self, shopper: Array, moment: Array, seen_until: int) -> Array:
        """Days to the next purchase that comes before `seen_until` ms (N,), inf where none does."""
        later = self.next_time(shopper, moment)
        return np.where(later < seen_until, (later - np.asarray(moment)) / DAY_MS, np.inf)
