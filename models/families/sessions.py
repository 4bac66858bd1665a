"""Sessions of items: checks, parts of them, and the layouts that rankers learn from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from models.families.interface import Array, Sessions

BATCH = 256  # sessions whose scores a ranker gives at once: 256 × 43,000 items are 44 MB


def sessions_of(lists: Iterable[Sequence[int]], n_items: int) -> Sessions:
    """Sessions from lists of items. Raises ValueError as `checked` does."""
    parts = [np.asarray(one, np.int32) for one in lists]
    bounds = np.cumsum([0, *map(len, parts)], dtype=np.int64)
    return checked(Sessions(np.concatenate([np.empty(0, np.int32), *parts]), bounds, n_items))


def checked(sessions: Sessions, n_items: int | None = None) -> Sessions:
    """The same sessions. n_items: what a fitted ranker knows.

    Raises ValueError when there is no session, an empty one, or an item out of range.
    """
    if n_items is not None and sessions.n_items != n_items:
        raise ValueError(
            f"sessions: of {sessions.n_items} items, but the model learned from {n_items}; map them alike"
        )
    if not len(sessions):
        raise ValueError("sessions: there are none; want at least one")
    short = np.flatnonzero(np.diff(sessions.bounds) < 1)
    if len(short):
        raise ValueError(f"sessions: session {short[0]} has no items; leave empty sessions out")
    check_items(sessions.items, sessions.n_items)
    return sessions


def check_items(items: Array, n_items: int) -> None:
    """Raises ValueError when an item is not within 0 … n_items-1."""
    wrong = np.flatnonzero((items < 0) | (items >= n_items))
    if len(wrong):
        raise ValueError(
            f"sessions: item {items[wrong[0]]} at {wrong[0]} is not within 0 … {n_items - 1}; leave out unknown items"
        )


def lengths(sessions: Sessions) -> npt.NDArray[np.int64]:
    """Items of each session, int64 (S,)."""
    return np.diff(sessions.bounds)


def owners(sessions: Sessions) -> npt.NDArray[np.int64]:
    """The session of each item, int64 (N,)."""
    return np.repeat(np.arange(len(sessions)), lengths(sessions))


def last_items(sessions: Sessions) -> Array:
    """The last item of each session, int32 (S,)."""
    last: Array = sessions.items[sessions.bounds[1:] - 1]
    return last


def part(sessions: Sessions, first: int, last: int) -> Sessions:
    """Sessions first … last-1."""
    bounds = sessions.bounds[first : last + 1]
    return Sessions(sessions.items[bounds[0] : bounds[-1]], bounds - bounds[0], sessions.n_items)


def batches(sessions: Sessions, size: int = BATCH) -> Iterator[Sessions]:
    """`size` sessions at a time, in order."""
    for start in range(0, len(sessions), size):
        yield part(sessions, start, min(start + size, len(sessions)))


def latest(sessions: Sessions, share: float) -> tuple[Sessions, Sessions]:
    """All but the last `share` of the sessions, and those: held out as a test later in time would be.

    Raises ValueError when one side would be empty.
    """
    held = round(share * len(sessions))
    if not 0 < held < len(sessions):
        raise ValueError(
            f"sessions: {share:g} of {len(sessions)} cannot be held out; want both parts non-empty"
        )
    cut = len(sessions) - held
    return part(sessions, 0, cut), part(sessions, cut, len(sessions))


def questions(sessions: Sessions) -> tuple[Sessions, Array]:
    """Every beginning of every session, and the item that came next: sessions (Q), int32 (Q,).

    Raises ValueError when no session has two items.
    """
    sizes = lengths(sessions)
    if not len(sizes) or sizes.max() < 2:
        raise ValueError("sessions: none has two items, so there is no next item to ask for")
    asked = sizes - 1
    starts = np.repeat(sessions.bounds[:-1], asked)
    known = np.arange(asked.sum()) - np.repeat(np.cumsum(asked) - asked, asked) + 1
    bounds = np.concatenate([[0], np.cumsum(known)])
    at = np.arange(bounds[-1]) - np.repeat(bounds[:-1] - starts, known)
    return Sessions(sessions.items[at], bounds, sessions.n_items), sessions.items[starts + known]
