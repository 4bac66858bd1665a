"""Deep network on standardised columns (torch): relu layers with dropout, of classes or of counts.

AdamW, a one-cycle learning rate, gradients cut to a norm, early stopping on held-out rows. One seed gives one result on a
CPU: everything random comes from a generator of its own, and torch runs on one thread while it learns.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import numpy.typing as npt

from models.families import table
from models.families.table import Array, Standard

if TYPE_CHECKING:
    from torch import Tensor, nn

KIND = "dnn"


@dataclass
class Dnn:
    """objective: binary P(label); poisson the expected count."""

    objective: Literal["binary", "poisson"] = "binary"
    hidden: tuple[int, ...] = (64, 32)
    dropout: float = 0.2
    decay: float = 1e-3  # weight decay
    rate: float = 3e-3  # highest learning rate
    batch: int = 256
    epochs: int = 40  # at most
    patience: int = 6  # epochs without gain on the held-out rows before it stops
    held_out: float = 0.15  # share of the rows for early stopping
    clip: float = 1.0  # norm that gradients are cut to
    balanced: bool = False  # both classes weigh as much; probabilities then want calibration (calibrated.py)
    log: bool = True  # of the inputs, see Standard
    _standard: Standard = field(init=False, repr=False)
    _network: nn.Sequential = field(init=False, repr=False)
    losses: tuple[tuple[float, float], ...] = field(
        init=False, repr=False, default=()
    )  # learnt, held out, by epoch

    def fit(self, inputs: Array, labels: Array, seed: int = 0, groups: Array | None = None) -> Self:
        """See TableModel. Rows of one group are held out together. `losses` holds the learning curve."""
        import torch

        rows, wanted = table.checked_training(inputs, labels, amounts=self.objective != "binary")
        apart = table.held_out(len(rows), self.held_out, seed, groups)
        if not apart.any() or apart.all():
            raise ValueError(f"{len(rows)} rows are too few to hold {self.held_out:g} of them out; give more")
        self._standard = Standard.of(rows[~apart], self.log)
        standard = torch.from_numpy(self._standard(rows).astype(np.float32))
        targets = torch.from_numpy(wanted.astype(np.float32))
        weights = torch.from_numpy(table.class_weights(wanted, self.balanced).astype(np.float32))
        parts = [(standard[at], targets[at], weights[at]) for at in map(torch.from_numpy, (~apart, apart))]
        with _reproducible(seed):
            self._network = self._layers(standard.shape[1])
            self._train(parts[0], parts[1])
        return self

    def predict(self, inputs: Array) -> npt.NDArray[np.float64]:
        """P(label), or the expected count, (N,) of inputs (N, F)."""
        import torch

        rows = self._standard(table.checked(inputs, len(self._standard.mean)))
        with torch.no_grad():
            logits = self._network(torch.from_numpy(rows.astype(np.float32)))[:, 0].double().numpy()
        return table.sigmoid(logits) if self.objective == "binary" else np.exp(logits)

    def export(self, folder: Path) -> None:
        weights = {name: value.numpy() for name, value in self._network.state_dict().items()}
        table.write(folder, KIND, {"settings": table.settings(self)}, {**self._standard.arrays(), **weights})

    @classmethod
    def load(cls, folder: Path) -> Self:
        import torch

        card, arrays = table.read(folder, KIND)
        made = cls(**{**card["settings"], "hidden": tuple(card["settings"]["hidden"])})
        made._standard = Standard.read(arrays, made.log)
        weights = {name: torch.from_numpy(value) for name, value in arrays.items() if name[0].isdigit()}
        made._network = made._layers(len(made._standard.mean) + len(made._standard.flagged))
        made._network.load_state_dict(weights)
        made._network.eval()
        return made

    def _layers(self, width: int) -> nn.Sequential:
        from torch import nn

        layers: list[nn.Module] = []
        for size in self.hidden:
            layers += [nn.Linear(width, size), nn.ReLU(), nn.Dropout(self.dropout)]
            width = size
        return nn.Sequential(*layers, nn.Linear(width, 1))

    def _train(self, learnt: tuple[Tensor, ...], judged: tuple[Tensor, ...]) -> None:
        """Ends with the weights that did best on the held-out rows."""
        import torch

        network, rows = self._network, len(learnt[0])
        per_epoch = -(-rows // self.batch)
        optimiser = torch.optim.AdamW(network.parameters(), lr=self.rate, weight_decay=self.decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, self.rate, total_steps=self.epochs * per_epoch, pct_start=0.2
        )
        losses, best = list[tuple[float, float]](), copy.deepcopy(network.state_dict())
        for _ in range(self.epochs):
            network.train()
            total = 0.0
            for at in torch.split(torch.randperm(rows), self.batch):
                loss = self._loss(*(part[at] for part in learnt))
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(network.parameters(), self.clip)
                optimiser.step()
                schedule.step()
                total += float(loss.detach()) * len(at)
            network.eval()
            with torch.no_grad():
                found = float(self._loss(*judged))
            if all(found < earlier for _, earlier in losses):
                best = copy.deepcopy(network.state_dict())
            losses.append((total / rows, found))
            leader = min(range(len(losses)), key=lambda epoch: losses[epoch][1])
            if len(losses) - 1 - leader >= self.patience:
                break
        network.load_state_dict(best)
        self.losses = tuple(losses)

    def _loss(self, rows: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        from torch.nn import functional

        logits = self._network(rows)[:, 0]
        if self.objective == "binary":
            return functional.binary_cross_entropy_with_logits(logits, targets, weights)
        return functional.poisson_nll_loss(logits, targets)


@contextmanager
def _reproducible(seed: int) -> Iterator[None]:
    """torch seeded and on one thread within; its own state and threads again after."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)
