"""What a training set may take and who makes it and trains on it: this machine, in memory or in shards, or a Ray cluster."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.release import Release
from models.replay import archive, shards, source
from models.replay.dataset import Sequences
from models.replay.shards import Chosen, Shards
from models.replay.source import Interval, SourceProblem
from schemas.settings import Settings

if TYPE_CHECKING:
    from models.replay.train import Epoch, Recipe, Trained


@dataclass(frozen=True)
class Machines:
    """memory_mib: of the training set; a larger one is kept on disk, in shards of that size. folder: where, path or fsspec
    URL; by default a temporary one, and for Ray one beside the archive, since every machine must reach it. ray: address of
    a cluster; workers: processes that train there, by default one on each machine."""

    memory_mib: float | None = None
    folder: str | None = None
    ray: str | None = None
    workers: int | None = None

    def connected(self) -> AbstractContextManager[None]:
        """For as long as the cluster is needed. SourceProblem when it does not answer."""
        if self.ray is None:
            return nullcontext()
        from models.scale import cluster

        return cluster.connected(self.ray)

    def shards(self, settings: Settings, interval: Interval, for_each_worker: bool) -> int:
        """How many the interval needs, with or without one at least for each worker; 0 = it is kept in memory, as one."""
        if self.memory_mib is None and self.ray is None:
            return 0
        events = archive.count(settings, interval)
        least = 1 if self.memory_mib is None else shards.count_for(events, self.memory_mib)
        if self.ray is None:
            return least if least > 1 else 0
        workers = self.processes() if for_each_worker else 1
        return -(-least // workers) * workers  # as many for each

    @contextmanager
    def opened(self, settings: Settings, run_id: str) -> Iterator[str]:
        """The folder of a run's shards; it goes again."""
        if self.folder is None and self.ray is None:
            with tempfile.TemporaryDirectory(prefix="intentflow-shards-") as folder:
                yield folder
            return
        root = self.folder or f"{settings.archive_uri.rstrip('/')}-shards"
        root = root if "://" in root else os.path.abspath(root)
        uri = f"{root.rstrip('/')}/run-{run_id}"
        try:
            yield uri
        finally:
            shards.remove(uri)

    def write(self, settings: Settings, interval: Interval, count: int, uri: str, chosen: Chosen) -> Shards:
        """The interval's shards, from the archive."""
        if self.ray is not None:
            from models.scale import building

            return building.write(self.ray, settings, interval, count, uri, chosen)
        dropped: Counter[str] = Counter()
        found = archive.read_events(settings, interval)
        usable = source.usable(found, source.bounds(settings), interval, dropped)
        return shards.write(usable, count, uri, settings.ring_events, dropped, chosen)

    def train(
        self,
        events: Shards,
        until: int,
        recipe: Recipe,
        seed: int,
        tell: Callable[[Epoch], None],
        warm: Release | None,
    ) -> tuple[Trained, tuple[str, ...]]:
        """As `train.train`, and the nodes of the cluster that did it, one per worker."""
        if self.ray is None:
            from models.replay.train import train

            return train(events, until, recipe, seed, tell, warm=warm), ()
        from models.scale.training import Fit, fit

        return fit(self.ray, self.processes(), Fit(events, until, recipe, seed, warm), tell)

    def trials(
        self, events: Sequences | Shards, until: int, seed: int
    ) -> Callable[[Recipe, Callable[[Epoch], None]], object]:
        """Trains a recipe, here or on some machine of the cluster."""
        if self.ray is not None and isinstance(events, Shards):
            from models.scale.trials import Trials

            return Trials(events, until, seed)
        from models.replay.train import train

        return lambda recipe, tell: train(events, until, recipe, seed, tell)

    def processes(self) -> int:
        """Workers that train together, or trials at once."""
        if self.ray is None:
            return 1
        from models.scale import cluster

        return self.workers or cluster.machines()

    def refuse(self, what: str) -> None:
        """SourceProblem when shards are asked for together with something that needs all events in memory."""
        if self.memory_mib is not None or self.ray is not None:
            option = "--ray" if self.ray is not None else "--memory-mib"
            raise SourceProblem(f"{option} is for the archive, split by time: leave out {what} or {option}")
