"""Losses of the tasks with a head of their own: chances, amounts, and the type of the next event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, log_softmax

from models.replay.targets import Targets
from models.tasks import MOST_LOG, Split

Array = npt.NDArray[Any]

POWER = 1.5  # of the Tweedie family: between counts of events (1) and amounts that are never 0 (2)
RARE = 1e-4  # least share that a head starts from


@dataclass(frozen=True)
class Sums:
    """Of the targets that are known (K,)."""

    total: npt.NDArray[np.float64]
    count: npt.NDArray[np.int64]

    @classmethod
    def of(cls, targets: Targets) -> Sums:
        return cls((targets.values * targets.known).sum(0).astype(np.float64), targets.known.sum(0))

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.total + other.total, self.count + other.count)

    def means(self) -> npt.NDArray[np.float64]:
        """Where training begins; amounts are measured in units of theirs."""
        return np.asarray(self.total / np.maximum(self.count, 1))


class OtherLosses:
    """Sum of the losses of all tasks where their target is known; every task weighs the same, however rare.

    Chances: cross entropy. Orders: the likelihood of Poisson; spend: of Tweedie with POWER, both up to what does not
    depend on the score, money in units of its mean. Type of the next event: cross entropy over all types.
    """

    def __init__(self, targets: Targets, kinds: Split, means: npt.NDArray[np.float64]) -> None:
        """means: (K,), of the targets over all that is learnt from."""
        self._values, self._known = torch.from_numpy(targets.values), torch.from_numpy(targets.known)
        self._kinds, self._means = kinds, means

    def total(self, logits: Tensor, rows: Array, whole: Array) -> Tensor:
        """Over the rows (N,) with logits (N, K) that are `whole`."""
        at = torch.from_numpy(np.flatnonzero(whole))
        chosen = torch.from_numpy(rows)[at]
        values, known = self._values[chosen], self._known[chosen]
        chance, amount, kind = torch.split(logits[at], self._kinds.sizes, 1)
        wanted, money, came = torch.split(values, self._kinds.sizes, 1)
        seen = torch.split(known.float(), self._kinds.sizes, 1)
        loss = (binary_cross_entropy_with_logits(chance, wanted, reduction="none") * seen[0]).sum()
        for column, name in enumerate(self._kinds.amounts):
            each = _poisson if name.startswith("orders") else _tweedie
            unit = max(float(self._means[len(self._kinds.chances) + column]), RARE)
            loss = loss + (each(amount[:, column], money[:, column], unit) * seen[1][:, column]).sum()
        return loss - (log_softmax(kind, 1) * came * seen[2]).sum()


def _poisson(logit: Tensor, count: Tensor, unit: float) -> Tensor:
    logit = logit.clamp(max=MOST_LOG)
    return logit.exp() - count * logit


def _tweedie(logit: Tensor, amount: Tensor, unit: float) -> Tensor:
    """Negative log likelihood up to a constant (Dunn & Smyth 2005), of amounts in units of `unit`."""
    logit = logit.clamp(max=MOST_LOG) - float(np.log(unit))
    return ((2 - POWER) * logit).exp() / (2 - POWER) - (amount / unit) * ((1 - POWER) * logit).exp() / (
        1 - POWER
    )


def start(means: npt.NDArray[np.float64], kinds: Split) -> npt.NDArray[np.float32]:
    """Logits (K,) of the overall rates, where training begins."""
    chances, amounts, types = np.split(means, np.cumsum(kinds.sizes)[:-1])
    share = np.clip(chances, RARE, 1 - RARE)
    parts = (
        np.log(share / (1 - share)),
        np.log(np.maximum(amounts, RARE)),
        np.log(np.maximum(types, RARE)),
    )
    return np.concatenate(parts).astype(np.float32)
