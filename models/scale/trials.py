"""Trials of a search as tasks of a Ray cluster, several at once; asking, pruning and the record stay with the search.

Optuna, and not Ray Tune: one study, one SQLite file and one way to resume, whether trials run here or there; and a seed
asks for the same trials however many run at once, but for what a sampler learns from those that have ended.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue

from models.replay.shards import Shards
from models.replay.train import Epoch, Recipe, train
from models.scale.cluster import node, part, worded

Said = Epoch | BaseException | None


class Trials:
    """Trains recipes on shards of the events before `until` (ms). nodes: the machines that did."""

    def __init__(self, shards: Shards, until: int, seed: int) -> None:
        self._data = shards, until, seed
        self.nodes: set[str] = set()

    def __call__(self, recipe: Recipe, tell: Callable[[Epoch], None]) -> None:
        """Trains on some machine; what `tell` raises after an epoch ends it there, too."""
        ray = part()
        task = ray.remote(num_cpus=1, num_returns="streaming", scheduling_strategy="SPREAD")(_trial)
        said = task.remote(*self._data, recipe)
        try:
            for reference in said:
                with worded():
                    where, epoch = ray.get(reference)
                self.nodes.add(where)
                tell(epoch)
        finally:
            ray.cancel(said)


def _trial(shards: Shards, until: int, seed: int, recipe: Recipe) -> Iterator[tuple[str, Epoch]]:
    """Where it trains, and every epoch."""
    said, over = SimpleQueue[Said](), threading.Event()

    def told(epoch: Epoch) -> None:
        said.put(epoch)
        if over.is_set():
            raise InterruptedError

    def work() -> None:
        try:
            train(shards, until, recipe, seed, told)
            said.put(None)
        except BaseException as problem:
            said.put(problem)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        while (found := said.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            yield node(), found
    finally:
        over.set()
        thread.join()  # the next trial in this process must not share chance with it
