"""Fits a release's calibration on held-out shoppers: stretches and shifts logits so that probabilities come true as often
as they say."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import log_softmax

from models import survival
from models.architecture import Calibration
from models.replay.labels import Labels

Array = npt.NDArray[Any]

PRIOR = 50.0  # how many rows' worth of doubt a change of scale or shift by 1 needs
MOST_ROWS = 20_000
_STEPS = 60


def fit(rows: Array, hazard: Array, category: Array, labels: Labels) -> Calibration:
    """Calibration from rows (N,) with hazard logits (N, 13) and category logits (N, C), both as the network gives them."""
    every = max(1, -(-len(rows) // MOST_ROWS))
    rows, hazard, category = rows[::every], hazard[::every], category[::every]
    scale, shift = _hazards(torch.from_numpy(hazard), labels.survived[rows], labels.bought[rows])
    return Calibration(tuple(scale), tuple(shift), _temperature(torch.from_numpy(category), rows, labels))


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


def _temperature(logits: torch.Tensor, rows: Array, labels: Labels) -> float:
    """What category logits are divided by; 1 where no next basket is known."""
    at = np.flatnonzero(labels.basket[rows] >= 0)
    if not len(at):
        return 1.0
    baskets = labels.basket[rows[at]]
    counts = (labels.starts[baskets + 1] - labels.starts[baskets]).astype(np.float32)
    first = np.repeat(labels.starts[baskets], counts.astype(np.int64))
    within = np.arange(int(counts.sum())) - np.repeat(
        np.cumsum(counts) - counts, counts.astype(np.int64)
    ).astype(np.int64)
    row = torch.from_numpy(np.repeat(np.arange(len(at)), counts.astype(np.int64)))
    code = torch.from_numpy(labels.codes[first + within])
    chosen, log_heat = logits[torch.from_numpy(at)], torch.zeros(1, requires_grad=True)

    def loss() -> torch.Tensor:
        return -log_softmax(chosen * torch.exp(-log_heat), 1)[row, code].mean()

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
