"""The rows of a trial: who was treated at random, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from models.families import table
from models.families.table import Array, Doubles

Mask = npt.NDArray[np.bool_]


def checked_arms(treated: Array, rows: int) -> Mask:
    """treated as bool (rows,). Raises ValueError for another length, what is neither 0 nor 1, or an empty arm."""
    given = np.asarray(treated)
    if given.shape != (rows,):
        raise ValueError(f"treated of shape {given.shape} for {rows} rows: want one 0 or 1 a row")
    strange = ~np.isin(given, (0, 1))
    if strange.any():
        raise ValueError(
            f"treated: {given[strange][0]} is neither 0 nor 1; take one action and its control at a time (arms.py)"
        )
    found = given.astype(bool)
    if found.all() or not found.any():
        raise ValueError(
            f"treated: all {rows} are {int(found[0]) if rows else 0}; an effect needs a treated and a control group"
        )
    return found


def checked_outcomes(outcomes: Array, rows: int) -> Doubles:
    """outcomes as float64 (rows,). Raises ValueError for another length, NaN or inf."""
    found = np.asarray(outcomes, np.float64)
    if found.shape != (rows,):
        raise ValueError(f"outcomes of shape {found.shape} for {rows} rows: want one number a row")
    if not np.isfinite(found).all():
        raise ValueError(
            f"outcomes: {int((~np.isfinite(found)).sum())} are not finite; leave rows out whose outcome is not known yet"
        )
    return found


@dataclass(frozen=True)
class Trial:
    """inputs (N, F); treated bool (N,); outcomes (N,); propensity (N,), the chance each row had to be treated."""

    inputs: Doubles
    treated: Mask
    outcomes: Doubles
    propensity: Doubles

    @classmethod
    def of(
        cls, inputs: Array, treated: Array, outcomes: Array, propensity: Array | float | None = None
    ) -> Self:
        """Checked. propensity: (N,) or one number; None where all had the same chance: the share that was treated.

        Raises ValueError that names the field, its value and the mend.
        """
        rows = table.checked(inputs)
        arm = checked_arms(treated, len(rows))
        chance = np.asarray(arm.mean() if propensity is None else propensity, np.float64)
        if chance.ndim and chance.shape != arm.shape:
            raise ValueError(f"propensity of shape {chance.shape} for {len(rows)} rows: want a number a row")
        chance = np.broadcast_to(chance, arm.shape).astype(np.float64)
        wrong = ~((chance > 0) & (chance < 1))
        if wrong.any():
            raise ValueError(
                f"propensity: {chance[wrong][0]:g} is not between 0 and 1; leave rows out that had no choice of arm"
            )
        return cls(rows, arm, checked_outcomes(outcomes, len(rows)), chance)

    def __len__(self) -> int:
        return len(self.outcomes)

    def __getitem__(self, rows: Array) -> Trial:
        """Some of the rows."""
        return Trial(self.inputs[rows], self.treated[rows], self.outcomes[rows], self.propensity[rows])

    def weighted(self) -> Doubles:
        """(T - e) / (e (1 - e)) (N,): of mean 0, and times the outcome of mean the effect."""
        return (self.treated - self.propensity) / (self.propensity * (1.0 - self.propensity))

    def folds(self, count: int, seed: int) -> npt.NDArray[np.int64]:
        """Fold (N,) of each row, both arms, and both outcomes of a yes-or-no, spread alike."""
        fold = np.empty(len(self), np.int64)
        for arm in (True, False):
            fold[self.treated == arm] = table.folds(self.outcomes[self.treated == arm], count, seed + arm)
        return fold
