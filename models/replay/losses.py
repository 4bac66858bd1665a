"""What training minimises, per event: time to the next purchase, lapse as it is asked about later, next categories, and
the tasks with a head of their own."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy, log_softmax, softplus

from models import survival
from models.network import Heads, IntentNetwork
from models.replay.labels import LAPSE_DAYS, Labels
from models.replay.other_losses import OtherLosses
from models.shrink import distil

Array = npt.NDArray[Any]

_EDGES = torch.tensor((0.0, *survival.SURVIVAL_DAYS))
WEEK_DAYS = 7.0
TAUGHT = 0.5  # share of the loss that a teacher's scores make, where there is one


class Losses:
    """Losses of rows of one training set.

    Purchase: the survival likelihood of each row. Lapse: what a household-day asks, "silent for 30 days from here on?",
    at a random moment before the shopper's next event, a row weighing as many weeks as it is the latest one: the
    likelihood alone would weigh who buys daily. Category: cross entropy against every category of the next basket.
    """

    def __init__(
        self,
        labels: Labels,
        lapse_weight: float,
        category_weight: float,
        basket: float,
        others: OtherLosses | None = None,
    ) -> None:
        """basket: mean number of categories in one, over all that is learnt from."""
        self._labels, self._lapse_weight, self._others = labels, lapse_weight, others
        self._category_weight = category_weight

    def total(
        self,
        network: IntentNetwork,
        trunk: Tensor,
        rows: Array,
        weight: Array,
        rng: np.random.Generator,
        taught: Heads | None = None,
    ) -> Tensor:
        """Weighted sum over rows (N,) with trunks (N, T). Rows of weight below 1 take part in the purchase loss only.

        taught: what a teacher says of these rows; half of what is learnt is then learnt from it.
        """
        logits = network.heads(trunk)
        loss = self._happened(logits, rows, weight, rng)
        if taught is None:
            return loss
        return (
            TAUGHT * (distil.loss(logits, taught, network.tasks) * torch.from_numpy(weight)).sum()
            + (1 - TAUGHT) * loss
        )

    def _happened(self, logits: Heads, rows: Array, weight: Array, rng: np.random.Generator) -> Tensor:
        hazard, category, extra = logits
        survived, bought = (
            torch.from_numpy(part[rows]) for part in (self._labels.survived, self._labels.bought)
        )
        loss = (survival.nll(hazard, survived, bought) * torch.from_numpy(weight)).sum()
        whole = weight >= 1
        if self._lapse_weight:
            loss = loss + self._lapse_weight * self._lapse(hazard, rows, whole, rng)
        if self._category_weight:
            loss = loss + self._category_weight * self.category(category, rows, whole)
        if self._others is not None:
            loss = loss + self._others.total(extra, rows, whole)
        return loss

    def category(self, logits: Tensor, rows: Array, whole: Array) -> Tensor:
        """Sum of -log p over the categories of each row's next basket."""
        at = np.flatnonzero(whole & (self._labels.basket[rows] >= 0))
        baskets = self._labels.basket[rows[at]]
        starts, counts = self._labels.starts[baskets], np.diff(self._labels.starts)[baskets]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        codes = self._labels.codes[np.repeat(starts, counts) + within]
        shares = log_softmax(logits[torch.from_numpy(at)], 1)
        row = torch.from_numpy(np.repeat(np.arange(len(at)), counts))
        each = torch.from_numpy(1.0 / np.maximum(counts, 1))[row]
        return -(shares[row, torch.from_numpy(codes)] * each).sum().float()

    def _lapse(self, hazard: Tensor, rows: Array, whole: Array, rng: np.random.Generator) -> Tensor:
        at = np.flatnonzero(whole & (self._labels.quiet_days[rows] > 0))
        quiet = self._labels.quiet_days[rows[at]]
        elapsed = rng.random(len(at)) * quiet
        silent = torch.from_numpy((self._labels.days[rows[at]] > elapsed + LAPSE_DAYS).astype(np.float32))
        since = torch.from_numpy(elapsed.astype(np.float32))
        logs = torch.cumsum(-softplus(hazard[torch.from_numpy(at)]), 1)
        chance = (_at_days(logs, since + LAPSE_DAYS) - _at_days(logs, since)).exp().clamp(1e-6, 1 - 1e-6)
        weeks = torch.from_numpy((quiet / WEEK_DAYS).astype(np.float32))
        return (binary_cross_entropy(chance, silent, reduction="none") * weeks).sum()


def _at_days(logs: Tensor, days: Tensor) -> Tensor:
    """log S (N,) at days (N,) from log S on the grid (N, 13), as `survival.at_days` reads it."""
    left = (torch.searchsorted(_EDGES, days, right=True) - 1).clamp(0, len(_EDGES) - 2)
    whole = torch.cat([logs.new_zeros(len(logs), 1), logs], 1)
    low, high = (whole.gather(1, (left + step)[:, None]).squeeze(1) for step in (0, 1))
    return low + (high - low) * (days - _EDGES[left]) / (_EDGES[left + 1] - _EDGES[left])
