"""Trains the network of a release: truncated back-propagation with carried state, shoppers of like length together.

Sequences, labels ─► lanes of 32 shoppers ─► parts of 128 rounds, state carried over ─► weights, calibration

One seed gives one result on a CPU. The weights that count are a running average over the updates; of these the ones that
did best on held-out shoppers are kept.
"""

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.architecture import Architecture, Calibration, Weights
from models.featurizer import Features, FeatureSpec
from models.network import Heads, IntentNetwork, weights_of
from models.release import Release
from models.replay import calibrate
from models.replay.dataset import Sequences
from models.replay.labels import Labels, Vocabulary, label, vocabulary
from models.replay.losses import Losses
from models.replay.other_losses import OtherLosses
from models.replay.source import SourceProblem
from models.replay.targets import Targets, targets
from models.replay.tastes import directions, start_memory
from models.replay.warm import words_of
from models.shrink import distil
from models.survival import TASKS
from models.tasks import expanded

Array = npt.NDArray[Any]

SAMPLED = 0.1  # share of the unfinished events that the heads look at


@dataclass(frozen=True)
class Recipe:
    """How to train. Chosen by trials on Complete Journey: trained on months 1 to 7, judged on later ones."""

    architecture: Architecture = field(default_factory=lambda: Architecture(dropout=0.3))
    features: FeatureSpec = field(default_factory=FeatureSpec)
    tasks: tuple[str, ...] = TASKS  # what a release scores, see models/tasks.py
    categories: int = 300  # vocabulary of the category head, beside "other"
    epochs: int = 10
    lanes: int = 32  # shoppers in a batch
    rounds: int = 128  # events per shopper between two updates
    rate: float = 2e-3  # highest learning rate, of Adam in one cycle
    clip: float = 1.0  # norm that gradients are cut to
    decay: float = 1e-6  # weight decay
    average: float = 0.995  # of the running average of weights, per update
    item_dropout: float = 0.9  # share of item ids hidden: with few shoppers an item names the shopper
    unfinished: float = 0.03  # weight of an event that others of the same moment follow
    lapse_weight: float = 1.0
    category_weight: float = 1.0
    held_out: float = 0.1  # share of shoppers for early stopping and calibration
    patience: int = 3  # epochs without gain on them before it stops
    threads: int = 1  # two are little faster, and far slower beside a broker on two cores

    def fast(self) -> "Recipe":
        """For a tenth of the shoppers: smaller batches, so that there are updates enough."""
        return replace(self, lanes=16, average=0.98, rate=3e-3)


class Epoch(NamedTuple):
    number: int
    train_loss: float
    held_out_loss: float
    seconds: float


@dataclass(frozen=True)
class Trained:
    weights: Weights
    architecture: Architecture
    calibration: Calibration
    words: Vocabulary
    tasks: tuple[str, ...]
    epochs: tuple[Epoch, ...]


class Part(NamedTuple):
    """Some rounds of some shoppers: rows (N,) in packed order, shoppers that have a t-th event (T,), whether it is the first."""

    rows: Array
    batch_sizes: Array
    fresh: bool


def train(
    sequences: Sequences,
    until: int,
    recipe: Recipe,
    seed: int,
    tell: Callable[[Epoch], None] = lambda epoch: None,
    held: Array | None = None,
    warm: Release | None = None,
    teach: Release | None = None,
) -> Trained:
    """Learns from the events before `until` (ms) and what is known by then; warm: on from that release's weights; teach:
    from that release's scores, too.

    held: bool (U,), the shoppers that only stop and calibrate it; None = the recipe's share of them, by chance.
    Raises SourceProblem for too few shoppers, or for a release whose weights do not fit.
    """
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(seed)
    sequences = sequences.before(until)
    words = words_of(warm, sequences, recipe) if warm else vocabulary(sequences, recipe.categories)
    tasks = expanded(recipe.tasks)
    network = IntentNetwork(recipe.features, recipe.architecture, len(words.names), tasks)
    if warm:
        network.load_state_dict({name: torch.from_numpy(value) for name, value in warm.weights().items()})
    else:
        network.start_from(words.hashes, words.shares)
        start_memory(network, words, directions(sequences, words, recipe.architecture.memory))
    asked = targets(sequences, network.tasks.extra, until, recipe.features.session_gap_s)
    teacher = distil.teacher(teach, recipe.features.fingerprint(), words.names, tasks) if teach else None
    trainer = _Trainer(
        sequences, label(sequences, words, until), asked, network, recipe, seed, held, warm is None, teacher
    )
    epochs = trainer.run(tell)
    fitted = calibrate.fit(*trainer.held_out_logits(), trainer.labels, trainer.targets, network.tasks)
    return Trained(weights_of(trainer.averaged), recipe.architecture, fitted, words, tasks, epochs)


class _Trainer:
    def __init__(
        self,
        sequences: Sequences,
        labels: Labels,
        targets: Targets,
        network: IntentNetwork,
        recipe: Recipe,
        seed: int,
        held: Array | None,
        fresh: bool = True,
        teacher: IntentNetwork | None = None,
    ) -> None:
        self.labels, self.targets, self.network, self._recipe = labels, targets, network, recipe
        self._teacher = teacher
        self._rng, self._seed = np.random.default_rng(seed), seed
        self._bounds, self._last = sequences.bounds, sequences.last
        self._features: Features = sequences.features(recipe.features)
        others = OtherLosses(targets, network.tasks) if network.tasks.extra else None
        if others is not None and fresh:
            network.start_extra(others.start())
        self._losses = Losses(labels, recipe.lapse_weight, recipe.category_weight, others)
        held = self._rng.random(len(sequences.users)) < recipe.held_out if held is None else held
        self._learnt, self._held = np.flatnonzero(~held), np.flatnonzero(held)
        if not len(self._learnt) or not len(self._held):
            raise SourceProblem(
                f"{len(sequences.users)} shoppers are too few to train and hold some out; take more events"
            )
        self.averaged = copy.deepcopy(network).eval()
        updates = recipe.epochs * sum(1 for _ in self._parts(self._lanes(self._learnt)))
        self._optimiser = torch.optim.Adam(network.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimiser,
            recipe.rate,
            total_steps=updates + 100 * recipe.epochs,
            pct_start=0.1,
        )
        self._updates = 0

    def run(self, tell: Callable[[Epoch], None]) -> tuple[Epoch, ...]:
        begun, epochs, best = time.monotonic(), list[Epoch](), copy.deepcopy(self.averaged.state_dict())
        for number in range(1, self._recipe.epochs + 1):
            epoch = Epoch(number, self._epoch(), self._held_out_loss(), time.monotonic() - begun)
            if all(epoch.held_out_loss < earlier.held_out_loss for earlier in epochs):
                best = copy.deepcopy(self.averaged.state_dict())
            epochs.append(epoch)
            tell(epoch)
            leader = min(epochs, key=lambda one: one.held_out_loss)
            if number - leader.number >= self._recipe.patience:
                break
        self.averaged.load_state_dict(best)
        return tuple(epochs)

    def held_out_logits(self) -> tuple[Array, Heads]:
        """Rows (N,) of held-out shoppers where a moment is complete, with their logits."""
        with torch.no_grad():
            found = [(rows, self.averaged.heads(trunk)) for rows, trunk in self._trunks(self._held)]
        logits = Heads(*(torch.cat(parts) for parts in zip(*(heads for _, heads in found), strict=True)))
        return np.concatenate([rows for rows, _ in found]), logits

    def _epoch(self) -> float:
        self.network.train()
        total, count = 0.0, 0.0
        hidden: Tensor | None = None
        lesson = _Lesson(self._teacher)
        for part in self._parts(self._lanes(self._learnt)):
            carried = None if part.fresh or hidden is None else hidden[: part.batch_sizes[0]].detach()
            ids, dense = self._inputs(part.rows)
            taught = lesson.trunk(ids, dense, part)  # before item ids are hidden
            ids[:, 0] *= torch.rand(len(ids)) >= self._recipe.item_dropout
            trunk, hidden = self.network(ids, dense, torch.from_numpy(part.batch_sizes), carried)
            # The heads cost as much as the LSTM: of events that others of the moment follow, a tenth speaks for all.
            at = np.flatnonzero(self._last[part.rows] | (self._rng.random(len(part.rows)) < SAMPLED))
            rows = part.rows[at]
            weight = self._weight(rows)
            heads = lesson.heads(taught, torch.from_numpy(at))
            loss = self._losses.total(
                self.network, trunk[torch.from_numpy(at)], rows, weight, self._rng, heads
            )
            self._step(loss / max(float(weight.sum()), 50.0))
            total, count = total + float(loss.detach()), count + float(weight.sum())
        return total / max(count, 1.0)

    def _step(self, loss: Tensor) -> None:
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self._recipe.clip)
        self._optimiser.step()
        if self._schedule.last_epoch < self._schedule.total_steps - 1:
            self._schedule.step()
        self._updates += 1
        keep = min(self._recipe.average, self._updates / (self._updates + 10))  # short memory at first
        with torch.no_grad():
            for mean, now in zip(self.averaged.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(now, 1 - keep)

    def _held_out_loss(self) -> float:
        total, count = 0.0, 0.0
        rng = np.random.default_rng(self._seed)  # the same moments each time
        with torch.no_grad():
            for rows, trunk in self._trunks(self._held):
                weight = np.ones(len(rows), np.float32)
                total += float(self._losses.total(self.averaged, trunk, rows, weight, rng))
                count += len(rows)
        return total / max(count, 1.0)

    def _trunks(self, shoppers: Array) -> Iterator[tuple[Array, Tensor]]:
        """Rows where a moment is complete, and their trunks."""
        hidden: Tensor | None = None
        for part in self._parts([shoppers[np.argsort(-np.diff(self._bounds)[shoppers], kind="stable")]]):
            carried = None if part.fresh or hidden is None else hidden[: part.batch_sizes[0]]
            trunk, hidden = self.averaged(
                *self._inputs(part.rows), torch.from_numpy(part.batch_sizes), carried
            )
            at = np.flatnonzero(self._last[part.rows])
            yield part.rows[at], trunk[torch.from_numpy(at)]

    def _inputs(self, rows: Array) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(self._features.ids[rows]), torch.from_numpy(self._features.dense[rows])

    def _weight(self, rows: Array) -> npt.NDArray[np.float32]:
        return np.where(self._last[rows], 1.0, self._recipe.unfinished / SAMPLED).astype(np.float32)

    def _lanes(self, shoppers: Array) -> list[Array]:
        """Shoppers of about the same length together, longest first within, in random order."""
        length = np.diff(self._bounds)[shoppers]
        shoppers = shoppers[np.argsort(length + self._rng.integers(0, 60, len(length)), kind="stable")]
        groups = np.split(shoppers, np.arange(self._recipe.lanes, len(shoppers), self._recipe.lanes))
        lengths = np.diff(self._bounds)
        return [
            groups[at][np.argsort(-lengths[groups[at]], kind="stable")]
            for at in self._rng.permutation(len(groups))
        ]

    def _parts(self, lanes: list[Array]) -> Iterator[Part]:
        for shoppers in lanes:
            starts = self._bounds[shoppers]
            left = self._bounds[shoppers + 1] - starts
            for first in range(0, int(left.max(initial=0)), self._recipe.rounds):
                rounds = np.arange(first, min(first + self._recipe.rounds, int(left[0])))
                there = rounds[:, None] < left
                yield Part((starts + rounds[:, None])[there], there.sum(axis=1), first == 0)


class _Lesson:
    """What a teacher says of the parts of an epoch, with its own carried state; nothing where there is none."""

    def __init__(self, network: IntentNetwork | None) -> None:
        self._network, self._hidden = network, torch.empty(0)

    @torch.no_grad()
    def trunk(self, ids: Tensor, dense: Tensor, part: Part) -> Tensor | None:
        if self._network is None:
            return None
        carried = None if part.fresh else self._hidden[: part.batch_sizes[0]]
        sizes = torch.from_numpy(part.batch_sizes)
        trunk, self._hidden = self._network(ids, dense, sizes, carried)
        return cast(Tensor, trunk)

    @torch.no_grad()
    def heads(self, trunk: Tensor | None, at: Tensor) -> Heads | None:
        return None if self._network is None or trunk is None else self._network.heads(trunk[at])
