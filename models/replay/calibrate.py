"""Fits a release's calibration on held-out shoppers: stretches and shifts logits so that probabilities come true as often
as they say."""

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
_STEPS = 60


def fit(rows: Array, logits: Heads, labels: Labels, targets: Targets, kinds: Split) -> Calibration:
    """Calibration from rows (N,) and their logits as the network gives them."""
    every = max(1, -(-len(rows) // MOST_ROWS))
    some = rows[::every]
    scale, shift = _hazards(logits.hazard[::every], labels.survived[some], labels.bought[some])
    temperature = _temperature(logits.category[::every], some, labels)
    if not kinds.extra:
        return Calibration(tuple(scale), tuple(shift), temperature)
    # These have few rows where their target is known: all of them count.
    others = _others(logits.extra, targets.values[rows], targets.known[rows], kinds)
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
