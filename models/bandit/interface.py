"""What every bandit does; and how an action is drawn so that its logged propensity is exact."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from models.families import table
from models.families.table import Array, Doubles

Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]


class Choice(NamedTuple):
    """actions int (n,), places in the bandit's list; propensities (n,): the probability that each was drawn with."""

    actions: Places
    propensities: Doubles


class Bandit(Protocol):
    """A choice among named actions that learns from rewards. Contexts (n, d) want columns of mean 0 and deviation 1.

    eligible: bool (n, A) or (A,), None where every action is. penalty: (n, A) or (A,), in the unit of rewards, taken off
    what each action is expected to earn: the price of its budget (models/budget.py). Raises ValueError, with the field
    and the mend, for shapes that do not fit, numbers that are not finite, or a row without any eligible action.
    """

    actions: tuple[str, ...]

    def probabilities(
        self, context: Array, eligible: Array | None = None, penalty: Array | None = None
    ) -> Doubles:
        """(n, A), rows sum to 1; 0 for what is not eligible. The same state and arguments give the same numbers."""

    def choose(
        self, context: Array, uniform: Array, eligible: Array | None = None, penalty: Array | None = None
    ) -> Choice:
        """An action per row by draws of 0 ≤ uniform < 1 (n,); a hash of shopper and event makes a replay choose alike."""

    def learn(
        self, context: Array, action: Array, reward: Array, propensity: Array, at: Array | None = None
    ) -> None:
        """What rounds earned, when their rewards are known: one in flight is no 0.

        context (n, d), action int (n,), reward (n,), propensity (n,). at (n,): when each round was played, in the unit of
        the bandit's discount. Any order and any batches of the same rounds give the same posterior, but for rounding.
        """


def checked_context(context: Array, columns: int) -> Doubles:
    """(n, d), finite."""
    rows = table.checked(context, columns)
    if np.isnan(rows).any():
        raise ValueError(
            f"context: column {int(np.argwhere(np.isnan(rows))[0, 1])} holds NaN; fill what is not known"
        )
    return rows


def checked_eligible(eligible: Array | None, rows: int, actions: int) -> Mask:
    """(n, A), an action at least in each row."""
    found = np.ones((rows, actions), np.bool_) if eligible is None else np.asarray(eligible)
    if found.dtype != np.bool_ or found.shape not in {(rows, actions), (actions,)}:
        raise ValueError(
            f"eligible {found.dtype} of shape {found.shape}: want bool ({rows}, {actions}) or ({actions},)"
        )
    found = np.broadcast_to(found, (rows, actions))
    if not found.any(axis=1).all():
        raise ValueError(
            f"eligible: row {int((~found.any(axis=1)).argmax())} has no action; leave doing nothing eligible"
        )
    return found


def checked_penalty(penalty: Array | None, rows: int, actions: int) -> Doubles:
    """(n, A), finite; 0 where none is given."""
    found = np.zeros(actions) if penalty is None else np.asarray(penalty, np.float64)
    if found.shape not in {(rows, actions), (actions,)} or not np.isfinite(found).all():
        raise ValueError(
            f"penalty of shape {found.shape}: want finite numbers ({rows}, {actions}) or ({actions},)"
        )
    return np.broadcast_to(found, (rows, actions))


def floored(probabilities: Doubles, eligible: Mask, epsilon: float) -> Doubles:
    """(n, A): a share `epsilon` of rounds goes evenly to all eligible actions, so that each of k has at least ε / k."""
    evenly = eligible / eligible.sum(axis=1, keepdims=True)
    return np.asarray((1.0 - epsilon) * probabilities + epsilon * evenly)


def drawn(probabilities: Array, uniform: Array) -> Choice:
    """Actions by draws of 0 ≤ uniform < 1 (n,) from probabilities (n, A); what has probability 0 is never drawn."""
    chances, draws = np.asarray(probabilities, np.float64), np.asarray(uniform, np.float64)
    if draws.shape != (len(chances),) or not ((draws >= 0) & (draws < 1)).all():
        raise ValueError(
            f"uniform of shape {draws.shape}: want a number of 0 ≤ u < 1 for each of {len(chances)} rows"
        )
    upto = np.cumsum(chances, axis=1)
    # The last sum may be a rounding below 1; measured against it, the draw never runs past the last action.
    actions = (draws[:, None] * upto[:, -1:] >= upto).sum(axis=1)
    return Choice(actions, chances[np.arange(len(chances)), actions])
