"""What came after each event, for the tasks with a head of their own (models/tasks.py).

Each target is known or not: what lies behind the end of the interval is not known, which is something else than "no".
Whether it is known depends on time alone, never on what happened: were a purchase known at once and its absence only
later, the newest rows would all be purchases. A session ends when the shopper is silent for longer than the session gap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models import tasks as names
from models.events import TYPE_CODE
from models.replay.dataset import PURCHASE, Sequences
from models.replay.history import DAY_MS

Array = npt.NDArray[Any]

MINUTE_MS = 60_000
CART, CLICK, IMPRESSION = (TYPE_CODE[name] for name in ("add_to_cart", "click", "impression"))


@dataclass(frozen=True)
class Targets:
    """values float32 (N, K) in the order of `tasks.Split.extra`, 0 where not known; known bool (N, K)."""

    values: npt.NDArray[np.float32]
    known: npt.NDArray[np.bool_]


def targets(sequences: Sequences, extra: tuple[str, ...], seen_until: int, session_gap_s: float) -> Targets:
    """Targets of all rows from what happened before `seen_until` (ms)."""
    if not len(sequences):
        return Targets(np.zeros((0, len(extra)), np.float32), np.zeros((0, len(extra)), bool))
    asked = _Asked(sequences, seen_until, round(session_gap_s * 1000))
    columns = [asked.column(name) for name in extra]
    shape = (len(sequences), len(columns))
    values, known = np.zeros(shape, np.float32), np.zeros(shape, bool)
    for at, (value, seen) in enumerate(columns):
        known[:, at] = seen & (sequences.events["time"] < seen_until)
        values[:, at] = np.where(known[:, at], value, 0.0)
    return Targets(values, known)


class _Asked:
    def __init__(self, sequences: Sequences, until: int, gap: int) -> None:
        self._sequences, self._until = sequences, until
        self._time, self._type = sequences.events["time"], sequences.events["type"]
        self._rows = np.arange(len(sequences))
        same = sequences.shopper[1:] == sequences.shopper[:-1]
        opens = np.ones(len(sequences), bool)
        opens[1:] = ~same | (self._time[1:] - self._time[:-1] > gap)
        self.session = np.cumsum(opens) - 1
        first = np.flatnonzero(opens)
        self._session_stop = np.append(first[1:], len(sequences))[
            self.session
        ]  # row behind the session's last
        # A session that the end of the interval may have cut is over only where its gap has passed by then.
        last = self._time[self._session_stop - 1]
        self._over = last + gap < until
        self._has_next = np.append(same, False)
        self._next = np.minimum(self._rows + 1, len(sequences) - 1)
        self._has_next &= self._time[self._next] < until

    def column(self, name: str) -> tuple[Array, Array]:
        """Value (N,) and whether it is known (N,)."""
        if name == "session_buy":
            bought = self._later_in_session(self._type == PURCHASE)
            return bought, self._over
        if name == "abandon_cart":
            bought = self._later_in_session(self._type == PURCHASE)
            return ~bought, self._over & self.in_cart()
        if name == "click":
            return self._clicked()
        if name.startswith("returns_"):
            return self._returns(names.minutes(name) * MINUTE_MS)
        if name in names.NEXT_TYPES:
            code = names.NEXT_TYPES.index(name)
            return self._type[self._next] == code, self._has_next
        return self._bought(name)

    def in_cart(self) -> npt.NDArray[np.bool_]:
        """(N,) whether something was put into the cart in this session, up to this row, and nothing bought since it began."""
        return np.asarray(
            (self._so_far(self._type == CART) > 0) & (self._so_far(self._type == PURCHASE) == 0)
        )

    def after_cart(self) -> Array:
        """(N,) events since the first of this session that put something into the cart, -1 where there was none yet."""
        put = self._type == CART
        first = np.full(int(self.session[-1]) + 1, len(put))
        np.minimum.at(first, self.session[put], self._rows[put])
        return np.asarray(np.maximum(self._rows - first[self.session], -1))

    def _so_far(self, mark: Array) -> Array:
        """How many marked rows of the session there are up to each row (N,), itself included."""
        running = np.concatenate([[0], np.cumsum(mark)])
        begun = np.searchsorted(self.session, self.session, side="left")
        return np.asarray(running[self._rows + 1] - running[begun])

    def _later_in_session(self, mark: Array) -> npt.NDArray[np.bool_]:
        running = np.concatenate([[0], np.cumsum(mark & (self._time < self._until))])
        return np.asarray(running[self._session_stop] > running[self._rows + 1])

    def _clicked(self) -> tuple[Array, Array]:
        """Of impressions: whether a click on the same item follows in the session."""
        shown, clicks = (np.flatnonzero(self._type == code) for code in (IMPRESSION, CLICK))
        clicks = clicks[self._time[clicks] < self._until]
        item = self._sequences.events["item"].astype(np.int64)

        def key(rows: Array) -> Array:
            return np.asarray((self.session[rows] << 32) | item[rows])

        order = np.lexsort((clicks, key(clicks)))
        keys, rows = key(clicks)[order], clicks[order]
        latest = np.searchsorted(keys, key(shown), side="right") - 1
        found = np.maximum(latest, 0)
        hit = np.zeros(len(shown), bool)
        if len(rows):
            hit = (latest >= 0) & (keys[found] == key(shown)) & (rows[found] > shown)
        value, known = np.zeros(len(self._rows), bool), np.zeros(len(self._rows), bool)
        value[shown], known[shown] = hit, self._over[shown]
        return value, known

    def _returns(self, within: int) -> tuple[Array, Array]:
        came = self._has_next & (self._time[self._next] - self._time <= within)
        return came, self._time + within < self._until

    def _bought(self, name: str) -> tuple[Array, Array]:
        """Baskets, or money for them, after this moment and within the days; known where those are over."""
        purchases, shopper, time = self._sequences.purchases, self._sequences.shopper, self._time
        stop = time + names.days(name) * DAY_MS
        known = stop < self._until
        first, last = purchases.up_to(shopper, time), purchases.up_to(shopper, stop)
        if name.startswith("orders"):
            return last - first, known
        running = np.concatenate([[0.0], np.cumsum(self._money())])
        return running[last] - running[first], known

    def _money(self) -> Array:
        """Money of every basket; a line without a price counts nothing, one without a quantity counts once."""
        events = self._sequences.events
        rows = np.flatnonzero(self._type == PURCHASE)
        quantity = np.nan_to_num(events["quantity"][rows].astype(np.float64), nan=1.0)
        amount = np.nan_to_num(events["price"][rows].astype(np.float64)) * quantity
        purchases = self._sequences.purchases
        at = purchases.before(self._sequences.shopper[rows], self._time[rows])
        return np.bincount(at, weights=amount, minlength=len(purchases))


def since_cart(sequences: Sequences, session_gap_s: float) -> tuple[Array, Array]:
    """For cart abandonment: events since the session's first add_to_cart (N,), -1 = none yet, and whether a row is asked
    about at all (N,): something in the cart, nothing bought yet in the session."""
    asked = _Asked(sequences, int(sequences.events["time"].max()) + 1, round(session_gap_s * 1000))
    return asked.after_cart(), asked.in_cart()
