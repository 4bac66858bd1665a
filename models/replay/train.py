"""Trains the network of a release: truncated back-propagation with carried state, shoppers of like length together.

Sequences, labels ─► lanes of 32 shoppers ─► parts of 128 rounds, state carried over ─► weights, calibration

One seed gives one result on a CPU. The weights that count are a running average over the updates; of these the ones that
did best on held-out shoppers are kept.
"""

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from itertools import chain
from operator import add
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.architecture import Architecture, Calibration, Weights
from models.featurizer import FeatureSpec
from models.network import Heads, IntentNetwork, weights_of
from models.release import Release
from models.replay import calibrate
from models.replay.dataset import Sequences
from models.replay.labels import Vocabulary, vocabulary
from models.replay.lanes import Part, lanes, parts
from models.replay.losses import Losses
from models.replay.material import Material, Overall, Rows
from models.replay.other_losses import OtherLosses, start
from models.replay.tastes import directions, start_memory
from models.replay.warm import words_of
from models.replay.world import Alone, World, no_loss
from models.shrink import distil
from models.survival import TASKS
from models.tasks import expanded, split

Array = npt.NDArray[Any]

SAMPLED = 0.1  # share of the unfinished events that the heads look at


@dataclass(frozen=True)
class Recipe:
    """How to train. Chosen by trials on Complete Journey: trained on months 1 to 7, judged on later ones."""

    architecture: Architecture = field(default_factory=lambda: Architecture(dropout=0.3))
    features: FeatureSpec = field(default_factory=FeatureSpec)
    tasks: tuple[str, ...] = TASKS  # what a release scores, see models/tasks.py
    categories: int = 300  # vocabulary of the category head, beside "other"
    items: int = (
        20_000  # vocabulary of the next-item head, at most (models/replay/item_fit.py); 0: no such head
    )
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


def train(
    events: Sequences | Sequence[Sequences],
    until: int,
    recipe: Recipe,
    seed: int,
    tell: Callable[[Epoch], None] = lambda epoch: None,
    held: Sequence[Array] | None = None,
    warm: Release | None = None,
    teach: Release | None = None,
    world: World | None = None,
) -> Trained:
    """Learns from the events before `until` (ms) and what is known by then; warm: on from that release's weights; teach:
    from that release's scores, too.

    events: all of them, or shards of them (models/replay/shards.py), which are gone through one after the other. held:
    bool (U,) per shard, the shoppers that only stop and calibrate it; None = the recipe's share of them, by chance.
    world: the processes that train it together, None = this one alone. Raises SourceProblem for too few shoppers, or for a
    release whose weights do not fit.
    """
    world = world or Alone()
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(seed)
    tasks = expanded(recipe.tasks)
    shards = [events] if isinstance(events, Sequences) else events
    material = Material(shards, until, recipe, split(tasks), world)
    bought = material.bought()
    words = words_of(warm, bought, recipe) if warm else vocabulary(bought, recipe.categories)
    rng = np.random.default_rng(seed if world.rank == 0 else [seed, world.rank])
    overall = material.overall(words, rng, held)
    network = IntentNetwork(recipe.features, recipe.architecture, len(words.names), tasks)
    if warm:
        network.load_state_dict({name: torch.from_numpy(value) for name, value in warm.weights().items()})
    else:
        network.start_from(words.hashes, words.shares)
        start_memory(network, words, directions(overall.spread, recipe.architecture.memory))
        if network.tasks.extra:
            network.start_extra(start(overall.rates.means(), network.tasks))
    teacher = distil.teacher(teach, recipe.features.fingerprint(), words.names, tasks) if teach else None
    if world.rank:
        torch.manual_seed(seed + world.rank)  # the same weights to begin with, other chances from here on
    trainer = _Trainer(material, overall, network, recipe, seed, rng, world, teacher)
    epochs = trainer.run(tell)
    fitted = calibrate.fit(trainer.evidence(), network.tasks)
    return Trained(weights_of(trainer.averaged), recipe.architecture, fitted, words, tasks, epochs)


class _Trainer:
    def __init__(
        self,
        material: Material,
        overall: Overall,
        network: IntentNetwork,
        recipe: Recipe,
        seed: int,
        rng: np.random.Generator,
        world: World,
        teacher: IntentNetwork | None,
    ) -> None:
        self._material, self._overall, self._world = material, overall, world
        self.network, self._recipe, self._teacher = network, recipe, teacher
        self._rng, self._seed = rng, seed
        self.averaged = copy.deepcopy(network).eval()
        self._evaluate = world.shared(network)
        self._optimiser = torch.optim.Adam(network.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimiser,
            recipe.rate,
            total_steps=recipe.epochs * (overall.updates + 100),
            pct_start=0.1,
        )
        self._hidden, self._updates = torch.empty(0), 0

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

    @torch.no_grad()
    def evidence(self) -> calibrate.Evidence:
        """Held-out moments that are complete, with their logits."""
        found = []
        for at in self._material.mine:
            rows = self._material.held(at)
            trunks = [(some, self.averaged.heads(trunk)) for some, trunk in self._trunks(rows)]
            if trunks:
                logits = Heads(
                    *(torch.cat(each) for each in zip(*(heads for _, heads in trunks), strict=True))
                )
                some = np.concatenate([some for some, _ in trunks])
                total = self._overall.moments
                found.append(calibrate.Evidence.of(some, logits, rows.labels, rows.targets, total))
        return reduce(add, chain.from_iterable(self._world.gather(found)))

    def _epoch(self) -> float:
        self.network.train()
        total, count, lesson = 0.0, 0.0, _Lesson(self._teacher)
        for step in self._world.in_step(self._steps()):
            asked = partial(no_loss, self.network) if step is None else partial(self._part, *step, lesson)
            loss, weight = self._evaluate(asked)
            # Over all processes it is the loss of all their rows, by the weight of them all.
            self._step(loss / (max(self._world.sum(weight), 50.0) / self._world.size))
            total, count = total + float(loss.detach()), count + weight
        return self._world.sum(total) / max(self._world.sum(count), 1.0)

    def _part(self, rows: Rows, losses: Losses, part: Part, lesson: "_Lesson") -> tuple[Tensor, float]:
        """Summed loss of a part, and the summed weight of its rows."""
        carried = None if part.fresh else self._hidden[: part.batch_sizes[0]]
        ids, dense = rows.inputs(part.rows)
        taught = lesson.trunk(ids, dense, part)
        named = torch.rand(len(ids)) >= self._recipe.item_dropout
        trunk, hidden = self.network(ids, dense, torch.from_numpy(part.batch_sizes), carried, named)
        self._hidden = hidden.detach()
        # The heads cost as much as the LSTM: of events that others of the moment follow, a tenth speaks for all.
        chosen = np.flatnonzero(rows.last[part.rows] | (self._rng.random(len(part.rows)) < SAMPLED))
        at, asked = torch.from_numpy(chosen), part.rows[chosen]
        weight = np.where(rows.last[asked], 1.0, self._recipe.unfinished / SAMPLED).astype(np.float32)
        heads = lesson.heads(taught, at)
        loss = losses.total(self.network, trunk[at], asked, weight, self._rng, heads)
        return loss, float(weight.sum())

    def _steps(self) -> Iterator[tuple[Rows, Losses, Part]]:
        """The parts of an epoch, shard by shard in random order."""
        mine = list(self._material.mine)
        if len(mine) > 1:
            self._rng.shuffle(mine)
        for at in mine:
            rows = self._material.learnt(at)
            cut = lanes(rows.bounds, rows.shoppers, self._recipe.lanes, self._rng)
            losses = self._losses(rows)
            for part in parts(rows.bounds, cut, self._recipe.rounds):
                yield rows, losses, part

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

    @torch.no_grad()
    def _held_out_loss(self) -> float:
        total, count = 0.0, 0.0
        rng = np.random.default_rng(self._seed)  # the same moments each time
        for at in self._material.mine:
            rows = self._material.held(at)
            losses = self._losses(rows)
            for some, trunk in self._trunks(rows):
                weight = np.ones(len(some), np.float32)
                total += float(losses.total(self.averaged, trunk, some, weight, rng))
                count += len(some)
        return self._world.sum(total) / max(self._world.sum(count), 1.0)

    def _trunks(self, rows: Rows) -> Iterator[tuple[Array, Tensor]]:
        """Rows where a moment is complete, and their trunks."""
        hidden = torch.empty(0)
        longest_first = np.argsort(-np.diff(rows.bounds), kind="stable")
        for part in parts(rows.bounds, [longest_first], self._recipe.rounds):
            carried = None if part.fresh else hidden[: part.batch_sizes[0]]
            sizes = torch.from_numpy(part.batch_sizes)
            trunk, hidden = self.averaged(*rows.inputs(part.rows), sizes, carried)
            at = np.flatnonzero(rows.last[part.rows])
            yield part.rows[at], trunk[torch.from_numpy(at)]

    def _losses(self, rows: Rows) -> Losses:
        kinds, found = self.network.tasks, self._overall
        others = OtherLosses(rows.targets, kinds, found.rates.means()) if kinds.extra else None
        basket = found.categories / max(found.baskets, 1)
        return Losses(rows.labels, self._recipe.lapse_weight, self._recipe.category_weight, basket, others)


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
