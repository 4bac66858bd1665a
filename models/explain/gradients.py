"""Integrated gradients over a shopper's embedded events: how much each event, and each input, moved one score.

Sundararajan, Taly & Yan, "Axiomatic attribution for deep networks", ICML 2017: an input's attribution is its distance from
the baseline times the gradient's mean along the straight path there. The attributions sum to f(x) - f(baseline).

The baseline is as many blank events: every embedding and every dense feature zero. Embeddings are what is scaled, so the
network is run with them replaced on the fly, whatever is built on top of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from models import survival
from models.featurizer import DENSE, ID_COLUMNS, Features
from models.network import IntentNetwork, network_from, scores_of
from models.release import Release

Array = npt.NDArray[Any]

ENOUGH = 1e-3  # of completeness: how far the attributions' sum may be from f(x) - f(baseline)
FIRST_STEPS, MOST_STEPS = 32, 512
MEMORY = "category memory"
NAMES = (*ID_COLUMNS, MEMORY, *DENSE)


@dataclass(frozen=True)
class Attribution:
    """One score of one shopper. contributions: float64 (T, len(NAMES)), of each event's inputs.

    They sum to score - baseline but for `error`.
    """

    task: str
    score: float
    baseline: float
    contributions: npt.NDArray[np.float64]
    error: float

    @property
    def events(self) -> npt.NDArray[np.float64]:
        """(T,), of each event."""
        return np.asarray(self.contributions.sum(axis=1))

    @property
    def inputs(self) -> dict[str, float]:
        """Of each input over all events, by name, the strongest first."""
        total = self.contributions.sum(axis=0)
        return {NAMES[at]: float(total[at]) for at in np.argsort(-np.abs(total), kind="stable")}


def network_of(release: Release) -> IntentNetwork:
    """The release's network with its calibration, in evaluation mode. Raises ReleaseProblem."""
    card = release.card
    folded = card.calibration.folded(release.weights())
    return network_from(card.features, card.architecture, len(card.categories), folded, card.tasks)


def attribute(network: IntentNetwork, features: Features, task: str, steps: int = FIRST_STEPS) -> Attribution:
    """Why the score `task` after the last event of one shopper, features (T, …) of whose events are given, is what it is.

    The path is cut into `steps`, and into twice as many until the sum is complete. Raises ValueError for no events, or a
    task that is none.
    """
    if not len(features.ids):
        raise ValueError("no events to attribute a score to")
    survival.check_tasks((task,))
    ids = torch.from_numpy(np.asarray(features.ids, np.int64))
    inputs = _embedded(network, ids, torch.from_numpy(features.dense))
    ends = torch.tensor([0.0, 1.0])
    with torch.no_grad():
        baseline, score = _score(network, ids, _scaled(inputs, ends), 2, task).tolist()
    while True:
        found = _integrate(network, ids, inputs, task, steps)
        error = abs(float(found.sum()) - (score - baseline))
        if error <= ENOUGH or steps >= MOST_STEPS:
            return Attribution(task, score, baseline, found, error)
        steps *= 2


def _integrate(
    network: IntentNetwork, ids: Tensor, inputs: list[Tensor], task: str, steps: int
) -> npt.NDArray[np.float64]:
    """Contributions (T, len(NAMES)) by Gauss-Legendre quadrature."""
    places, weights = np.polynomial.legendre.leggauss(steps)
    places, weights = (places + 1) / 2, weights / 2
    path = _scaled(inputs, torch.from_numpy(places).float())
    leaves = [part.requires_grad_() for part in path]
    slopes = torch.autograd.grad(_score(network, ids, leaves, steps, task).sum(), leaves)
    share = torch.from_numpy(weights).double()
    columns = []
    for given, slope in zip(inputs, slopes, strict=True):
        mean = (slope.double().view(len(ids), steps, -1) * share[:, None]).sum(1)
        columns.append((mean * given.double()).numpy())
    *embedded, dense = columns
    return np.concatenate([np.stack([part.sum(1) for part in embedded], 1), dense], 1)


def _embedded(network: IntentNetwork, ids: Tensor, dense: Tensor) -> list[Tensor]:
    """What the network reads of T events: a vector (T, width) per table, the memory's, and the dense features."""
    with torch.no_grad():
        parts = [table(ids[:, column]) for column, table in enumerate(network.embed)]
        return [*parts, network.memory(ids[:, 1]), dense]


def _scaled(inputs: list[Tensor], places: Tensor) -> list[Tensor]:
    """Inputs (T * K, width) at K places of the path from 0 to 1, event by event, as K shoppers packed in rounds."""
    return [(part[:, None] * places[:, None]).flatten(0, 1).detach() for part in inputs]


def _score(network: IntentNetwork, ids: Tensor, inputs: list[Tensor], count: int, task: str) -> Tensor:
    """Score (count,) after the last event, of `count` shoppers with the same ids and inputs (T * count, width) of their own."""
    *embedded, dense = inputs
    tables = [*network.embed, network.memory]
    sizes = torch.full((len(ids),), count)
    with _replaced(tables, embedded):
        trunk, _ = network(ids.repeat_interleave(count, 0), dense, sizes)
    logits = network.heads(trunk[-count:])
    if task in network.tasks.extra:
        return scores_of(logits.extra, network.tasks)[:, network.tasks.extra.index(task)]
    column, sign, shift = (part[0].item() for part in survival.weights((task,)))
    curve = torch.exp(-torch.cumsum(nn.functional.softplus(logits.hazard), 1))
    score: Tensor = curve[:, column] * sign + shift
    return score


@contextmanager
def _replaced(tables: list[nn.Module], outputs: list[Tensor]) -> Iterator[None]:
    """Within, each table gives this output, whatever it is asked."""

    def give(output: Tensor) -> Any:
        return lambda module, given, found: output

    hooks = [table.register_forward_hook(give(output)) for table, output in zip(tables, outputs, strict=True)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
