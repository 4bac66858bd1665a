"""Fits a release's calibration on held-out shoppers: stretches and shifts logits so that probabilities come true as often
as they say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, log_softmax

from models import survival
from models.architecture import Calibration
from models.network import Heads
from models.replay.labels import Labels
from models.replay.targets import Targets
from models.tasks import MOST_LOG, Split

Array = npt.NDArray[Any]

PRIOR = 50.0  # how many rows' worth of doubt a change of scale or shift by 1 needs
MOST_ROWS = 20_000
MOST_OTHER = 1_000_000  # rows of the other tasks
_STEPS = 60


@dataclass(frozen=True)
class Evidence:
    """Logits of held-out rows, as the network gives them, and what came after.

    hazard (n, 13), category (n, C), survived, bought (n,): of some rows. row, code int64 (k,): the categories of their next
    baskets. extra, values, known (N, K): of the other tasks, which have few rows where their target is known.
    """

    hazard: torch.Tensor
    category: torch.Tensor
    survived: Array
    bought: Array
    row: Array
    code: Array
    extra: torch.Tensor
    values: Array
    known: Array

    @classmethod
    def of(cls, rows: Array, logits: Heads, labels: Labels, targets: Targets, total: int) -> Evidence:
        """Of rows (N,), of which there are `total` in all shards."""
        few, many = (slice(None, None, max(1, -(-total // most))) for most in (MOST_ROWS, MOST_OTHER))
        some = rows[few]
        at = np.flatnonzero(labels.basket[some] >= 0)
        first = labels.starts[labels.basket[some[at]]]
        counts = labels.starts[labels.basket[some[at]] + 1] - first
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return cls(
            logits.hazard[few],
            logits.category[few],
            labels.survived[some],
            labels.bought[some],
            np.repeat(at, counts),
            labels.codes[np.repeat(first, counts) + within],
            logits.extra[many],
            targets.values[rows[many]],
            targets.known[rows[many]],
        )

    def __add__(self, other: Evidence) -> Evidence:
        theirs = {**vars(other), "row": other.row + len(self.survived)}
        joined: dict[str, Any] = {}
        for name, one in vars(self).items():
            join = torch.cat if isinstance(one, torch.Tensor) else np.concatenate
            joined[name] = join([one, theirs[name]])
        return Evidence(**joined)


def fit(found: Evidence, kinds: Split) -> Calibration:
    """The calibration that these rows ask for."""
    scale, shift = _hazards(found.hazard, found.survived, found.bought)
    temperature = _temperature(found.category, found.row, found.code)
    if not kinds.extra:
        return Calibration(tuple(scale), tuple(shift), temperature)
    others = _others(found.extra, found.values, found.known, kinds)
    return Calibration(tuple(scale), tuple(shift), temperature, *others)


def _others(
    logits: torch.Tensor, values: Array, known: Array, kinds: Split
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Scale and shift (K,) of the other tasks' logits: chances both, amounts a shift that makes their sum right, types one
    scale for all."""
    wanted, seen = torch.from_numpy(values), torch.from_numpy(known)
    scale, shift = torch.ones(logits.shape[1]), torch.zeros(logits.shape[1])
    for column in range(len(kinds.chances)):
        rows = seen[:, column]
        if rows.any():
            scale[column], shift[column] = _platt(logits[rows, column], wanted[rows, column])
    for column in range(len(kinds.chances), len(kinds.chances) + len(kinds.amounts)):
        rows = seen[:, column]
        total = wanted[rows, column].sum()
        if total > 0:
            shift[column] = torch.log(total / logits[rows, column].clamp(max=MOST_LOG).exp().sum())
    first = len(kinds.chances) + len(kinds.amounts)
    rows = seen[:, -1] if kinds.types else seen[:0, 0]
    if rows.any():
        scale[first:] = _cool(logits[rows, first:], wanted[rows, first:])
    return tuple(scale.tolist()), tuple(shift.tolist())


def _platt(logits: torch.Tensor, wanted: torch.Tensor) -> tuple[float, float]:
    """Scale and shift that maximise the likelihood (Platt 1999), held near 1 and 0."""
    scale, shift = torch.ones(1, requires_grad=True), torch.zeros(1, requires_grad=True)

    def loss() -> torch.Tensor:
        doubt = PRIOR * ((scale - 1) ** 2 + shift**2).sum()
        fit = binary_cross_entropy_with_logits(logits * scale + shift, wanted, reduction="sum")
        return (fit + doubt) / len(logits)

    _minimise([scale, shift], loss)
    return max(float(scale.detach()), 0.1), float(shift.detach())


def _cool(logits: torch.Tensor, wanted: torch.Tensor) -> float:
    """What logits over classes are multiplied by: 1 / temperature."""
    log_heat = torch.zeros(1, requires_grad=True)

    def loss() -> torch.Tensor:
        return -(log_softmax(logits * torch.exp(-log_heat), 1) * wanted).sum() / len(logits)

    _minimise([log_heat], loss)
    return float(torch.exp(-log_heat.clamp(-3, 3)).detach())


def _hazards(logits: torch.Tensor, survived: Array, bought: Array) -> tuple[list[float], list[float]]:
    """Scale and shift per interval that maximise the likelihood, held near 1 and 0."""
    scale = torch.ones(logits.shape[1], requires_grad=True)
    shift = torch.zeros(logits.shape[1], requires_grad=True)
    seen, came = torch.from_numpy(survived), torch.from_numpy(bought)

    def loss() -> torch.Tensor:
        doubt = PRIOR * (((scale - 1) ** 2).sum() + (shift**2).sum())
        return (survival.nll(logits * scale + shift, seen, came).sum() + doubt) / len(logits)

    _minimise([scale, shift], loss)
    return scale.clamp(min=0.1).detach().tolist(), shift.detach().tolist()


def _temperature(logits: torch.Tensor, row: Array, code: Array) -> float:
    """What category logits (n, C) are divided by; 1 where no next basket is known."""
    if not len(row):
        return 1.0
    asked, place = np.unique(row, return_inverse=True)
    chosen, log_heat = logits[torch.from_numpy(asked)], torch.zeros(1, requires_grad=True)
    at, codes = torch.from_numpy(place), torch.from_numpy(code)

    def loss() -> torch.Tensor:
        return -log_softmax(chosen * torch.exp(-log_heat), 1)[at, codes].mean()

    _minimise([log_heat], loss)
    return float(torch.exp(log_heat.clamp(-3, 3)).detach())


def _minimise(parameters: list[torch.Tensor], loss: Any) -> None:
    search = torch.optim.LBFGS(parameters, max_iter=_STEPS, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        search.zero_grad()
        value: torch.Tensor = loss()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    search.step(closure)  # type: ignore[no-untyped-call]
