"""What training reads, shard by shard: rows of shoppers with features, labels and targets; and what must be known of all
shards before the first update: categories, tastes, overall rates, who is held out.

Of several shards one is in memory at a time, and made ready anew in every epoch; a single one stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, reduce
from operator import add
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.featurizer import Features
from models.replay.dataset import Sequences
from models.replay.labels import Bought, Labels, Vocabulary, label
from models.replay.lanes import lanes, parts
from models.replay.other_losses import Sums
from models.replay.source import SourceProblem
from models.replay.targets import Targets, targets
from models.replay.tastes import spread
from models.replay.world import World
from models.tasks import Split

if TYPE_CHECKING:
    from models.replay.train import Recipe

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Rows:
    """Events (N,) of U shoppers. bounds int64 (U+1,), the shoppers' rows; last bool (N,), where a moment is complete."""

    bounds: Array
    last: Array
    features: Features
    labels: Labels
    targets: Targets

    @property
    def shoppers(self) -> npt.NDArray[np.int64]:
        return np.arange(len(self.bounds) - 1)

    def inputs(self, rows: Array) -> tuple[Tensor, Tensor]:
        """ids and dense of rows (N,), as the network takes them."""
        return torch.from_numpy(self.features.ids[rows]), torch.from_numpy(self.features.dense[rows])


@dataclass(frozen=True)
class Overall:
    """Sums over shards. spread: of tastes (C, C). baskets, categories: how many, and how many in them. rates: of the other
    tasks' targets. moments: complete ones of the shoppers held out. learners, held: shoppers. updates: of one epoch."""

    spread: Array
    baskets: int
    categories: int
    rates: Sums
    moments: int
    learners: int
    held: int
    updates: int

    def __add__(self, other: Overall) -> Overall:
        mine, theirs = vars(self).values(), vars(other).values()
        return Overall(*(one + another for one, another in zip(mine, theirs, strict=True)))


class Material:
    """Shards of the events before `until` (ms); of several processes each has every size-th one."""

    def __init__(
        self, shards: Sequence[Sequences], until: int, recipe: Recipe, kinds: Split, world: World
    ) -> None:
        """Raises SourceProblem when a process would have no shard."""
        if len(shards) < world.size:
            raise SourceProblem(
                f"{len(shards)} shards for {world.size} workers: each needs one; take fewer --ray-workers"
            )
        self._shards, self._until, self._world = shards, until, world
        self._recipe, self._kinds = recipe, kinds
        self.mine = range(world.rank, len(shards), world.size)
        self._out: dict[int, Array] = {}  # shoppers held out, by shard
        kept = 1 if len(self.mine) == 1 else 0
        self.learnt, self.held = lru_cache(kept)(self._learnt), lru_cache(kept)(self._held)

    def bought(self) -> Bought:
        """How often each category was bought."""
        mine = reduce(add, (Bought.of(self._shard(at)) for at in self.mine))
        return reduce(add, self._world.gather(mine))

    def overall(self, words: Vocabulary, rng: np.random.Generator, held: Sequence[Array] | None) -> Overall:
        """Holds out shoppers (U,) of each shard: `held`, or by chance; and goes once through all shards.

        Raises SourceProblem when nobody is left to learn from or to hold out.
        """
        self._words, counts = words, list[Overall]()
        for at in self.mine:
            shard = self._shard(at)
            out = rng.random(len(shard.users)) < self._recipe.held_out if held is None else held[at]
            self._out[at] = out
            counts.append(self._counts(shard, out, rng))
        every = self._world.gather(reduce(add, counts))
        found = reduce(add, every)
        if not found.learners or not found.held:
            raise SourceProblem(
                f"{found.learners + found.held} shoppers are too few to train and hold some out; take more events"
            )
        return replace(found, updates=max(one.updates for one in every))

    def _counts(self, shard: Sequences, out: Array, rng: np.random.Generator) -> Overall:
        labels, learners = label(shard, self._words, self._until), np.flatnonzero(~out)
        baskets = labels.basket[labels.basket >= 0]
        cut = lanes(shard.bounds, learners, self._recipe.lanes, rng)
        return Overall(
            spread(shard, self._words),
            len(baskets),
            int((labels.starts[baskets + 1] - labels.starts[baskets]).sum()),
            Sums.of(self._targets(shard)),
            int((shard.last & out[shard.shopper]).sum()),
            len(learners),
            int(out.sum()),
            sum(1 for _ in parts(shard.bounds, cut, self._recipe.rounds)),
        )

    def _learnt(self, at: int) -> Rows:
        return self._rows(self._shard(at).only(~self._out[at]))

    def _held(self, at: int) -> Rows:
        return self._rows(self._shard(at).only(self._out[at]))

    def _rows(self, some: Sequences) -> Rows:
        features, labels = some.features(self._recipe.features), label(some, self._words, self._until)
        return Rows(some.bounds, some.last, features, labels, self._targets(some))

    def _targets(self, some: Sequences) -> Targets:
        return targets(some, self._kinds.extra, self._until, self._recipe.features.session_gap_s)

    def _shard(self, at: int) -> Sequences:
        return self._shards[at].before(self._until)
