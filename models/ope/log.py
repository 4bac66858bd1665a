"""Logged rounds, and how far another policy is from the one that logged them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from models.families.table import Array, Doubles

SUM = 1e-6  # how far from 1 the chances of a round may sum
LEAST_ESS = 100.0  # rounds: with less, an interval from the normal law means little


class TooLittleOverlap(ValueError):
    """The log holds too few rounds in which the target policy would have done the same."""


@dataclass(frozen=True)
class Log:
    """actions int (N,), 0 … count-1; rewards (N,); propensities (N,): the chance that the action of the round had."""

    actions: npt.NDArray[np.int64]
    rewards: Doubles
    propensities: Doubles
    count: int

    @classmethod
    def of(cls, actions: Array, rewards: Array, propensities: Array, count: int) -> Self:
        """Checked. Raises ValueError that names the field, its value and the mend."""
        chosen = np.asarray(actions)
        got, chance = (np.asarray(one, np.float64) for one in (rewards, propensities))
        if chosen.ndim != 1 or not len(chosen) or not chosen.shape == got.shape == chance.shape:
            raise ValueError(
                f"actions, rewards, propensities of shapes {chosen.shape}, {got.shape}, {chance.shape}: "
                "want one of each per round, and a round at least"
            )
        outside = (chosen < 0) | (chosen >= count) | (chosen != chosen.astype(np.int64))
        if outside.any():
            raise ValueError(
                f"actions: {chosen[outside][0]} is none of 0 … {count - 1}; give all actions a number"
            )
        if not np.isfinite(got).all():
            raise ValueError(
                f"rewards: {int((~np.isfinite(got)).sum())} are not finite; leave rounds out that are not over yet"
            )
        wrong = ~((chance > 0) & (chance <= 1))
        if wrong.any():
            raise ValueError(
                f"propensities: {chance[wrong][0]:g} is not above 0 and at most 1; log the chance that the action had"
            )
        return cls(chosen.astype(np.int64), got, chance, count)

    def __len__(self) -> int:
        return len(self.actions)

    def weights(self, target: Array) -> Doubles:
        """How much more often than it was done the target does what was done (N,). Raises ValueError for no policy."""
        return taken(checked(target, len(self), self.count), self.actions) / self.propensities


@dataclass(frozen=True)
class Overlap:
    """ess: (Σ w)² / Σ w², the number of rounds that as many equal weights would have. weight: the largest."""

    rounds: int
    ess: float
    weight: float


def overlap(weights: Doubles) -> Overlap:
    """Of weights (N,); an ESS of 0 where all are 0."""
    square = float(weights @ weights)
    return Overlap(len(weights), float(weights.sum()) ** 2 / square if square else 0.0, float(weights.max()))


def require(found: Overlap, least: float) -> None:
    """Raises TooLittleOverlap when the ESS is below `least`."""
    if found.ess < least:
        raise TooLittleOverlap(
            f"effective sample size {found.ess:.1f} of {found.rounds} rounds (largest weight {found.weight:.3g}), "
            f"want {least:g}: log more rounds, raise the floor of exploration, or ask for a policy nearer to the logged one"
        )


def checked(target: Array, rounds: int, count: int) -> Doubles:
    """A policy as float64 (rounds, count). Raises ValueError for another shape, chances below 0, or not summing to 1."""
    found = np.asarray(target, np.float64)
    if found.shape != (rounds, count):
        raise ValueError(
            f"target of shape {found.shape}: want the chance of each of {count} actions in {rounds} rounds"
        )
    if not (found >= 0).all():
        raise ValueError(f"target: {found[~(found >= 0)][0]:g} is no chance; want 0 or more")
    apart = np.abs(found.sum(axis=1) - 1.0)
    if apart.max() > SUM:
        at = int(apart.argmax())
        raise ValueError(f"target: chances of round {at} sum to {found[at].sum():g}; want 1")
    return found


def taken(table: Doubles, actions: npt.NDArray[np.int64]) -> Doubles:
    """The entry of each round's action (N,) of (N, A)."""
    return np.asarray(table[np.arange(len(actions)), actions])
