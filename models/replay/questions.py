"""Which rows a question is asked on, and what came of each: only rows whose horizon is over within the interval.

A row whose horizon is not over is no row: its outcome is not known, which is something else than "did not happen".
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from models.replay.dataset import Sequences
from models.replay.history import DAY_MS
from models.replay.splits import Part
from models.replay.targets import targets
from models.tasks import split

Array = npt.NDArray[Any]

BUY_DAYS = (3, 7, 30)
LAPSE_DAYS = 30
GRID_DAYS = 7  # household-days: every 7th day at 00:00 UTC
WAIT_DAYS = 30
MOST_ROWS = 50_000  # of a question that is asked at every event; beyond that at every k-th


class Rows(NamedTuple):
    """shopper int (N,), moment ms (N,), came: bool (N,), or the amount (N,)."""

    shopper: Array
    moment: Array
    came: Array


def buys(sequences: Sequences, part: Part, days: int) -> Rows:
    """A row per basket: does the shopper buy again within `days`?"""
    shopper, moment, _ = baskets(sequences, part, days)
    return Rows(shopper, moment, _within(sequences, shopper, moment, days))


def lapses(sequences: Sequences, part: Part, days: int = LAPSE_DAYS) -> Rows:
    """A row per household-day, every GRID_DAYS-th midnight from the first basket on: silent for the next `days`?"""
    shopper, moment = _grid(sequences, part, days)
    return Rows(shopper, moment, ~_within(sequences, shopper, moment, days))


def waits(sequences: Sequences, part: Part) -> Rows:
    """A row per basket: days to the next one, at most WAIT_DAYS."""
    shopper, moment, _ = baskets(sequences, part, WAIT_DAYS)
    days = sequences.purchases.days_to_next(shopper, moment, part.interval.stop)
    return Rows(shopper, moment, np.minimum(days, float(WAIT_DAYS)))


def happens(sequences: Sequences, part: Part, task: str, session_gap_s: float) -> Rows:
    """A row per moment whose outcome is known by the part's end, of a task with a head of its own (models/tasks.py)."""
    found = targets(sequences, (task,), part.interval.stop, session_gap_s)
    times = sequences.events["time"]
    asked = found.known[:, 0] & sequences.last & (times >= part.interval.start)
    rows = np.flatnonzero(asked & part.of(sequences.shopper))
    rows = rows[:: max(1, -(-len(rows) // MOST_ROWS))]
    came = found.values[rows, 0]
    outcome = came if task in split((task,)).amounts else came > 0
    return Rows(sequences.shopper[rows], times[rows], outcome)


def title(task: str) -> str:
    """A task with a head of its own, in words."""
    kinds = {
        "session_buy": "buys later in the session, asked at every event",
        "abandon_cart": "leaves the session without buying what is in the cart, asked at every event from the cart on",
        "click": "clicks what was shown, asked at every impression",
    }
    if task.startswith("returns_"):
        return f"comes again within {task.removeprefix('returns_')}, asked at every event"
    name, _, days = task.partition("_")
    amounts = {"orders": "baskets", "spend": "money spent"}
    return kinds.get(task) or f"{amounts[name]} within {days.removesuffix('d')} days, asked at every event"


def baskets(sequences: Sequences, part: Part, days: int = 0) -> tuple[Array, Array, Array]:
    """Shopper, moment and position of the part's baskets that lie `days` or more before its end."""
    purchases, interval = sequences.purchases, part.interval
    inside = (purchases.time >= interval.start) & (purchases.time < interval.stop - days * DAY_MS)
    position = np.flatnonzero(inside & part.of(purchases.shopper))
    return purchases.shopper[position], purchases.time[position], position


def _within(sequences: Sequences, shopper: Array, moment: Array, days: int) -> npt.NDArray[np.bool_]:
    """Whether a purchase comes after the moment and within `days`."""
    return np.asarray(sequences.purchases.next_time(shopper, moment) <= moment + days * DAY_MS)


def _grid(sequences: Sequences, part: Part, days: int) -> tuple[Array, Array]:
    purchases = sequences.purchases
    first = -(-part.interval.start // DAY_MS) * DAY_MS
    midnights = np.arange(first, part.interval.stop - days * DAY_MS + 1, GRID_DAYS * DAY_MS)
    everyone = np.arange(purchases.n_shoppers)
    everyone = everyone[part.of(everyone)]
    shopper, moment = np.repeat(everyone, len(midnights)), np.tile(midnights, len(everyone))
    bought = purchases.count(shopper, moment) > 0
    return shopper[bought], moment[bought]
