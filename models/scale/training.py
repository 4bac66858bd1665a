"""Training by Ray Train: workers with shards of their own, one network, DDP over gloo.

A worker takes its share of the recipe's lanes, so that an update sees as many shoppers as on one machine, and the recipe's
learning rate holds. The gradient is that of all workers' rows by their weight; a worker that has run out adds nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from models.release import Release
from models.replay.shards import Shards
from models.replay.source import SourceProblem
from models.replay.train import Epoch, Recipe, Trained, train
from models.scale.cluster import connected, cpus, node, part, worded


@dataclass(frozen=True)
class Fit:
    """What one machine's `train` takes."""

    shards: Shards
    until: int
    recipe: Recipe
    seed: int
    warm: Release | None = None

    def of(self, workers: int) -> Fit:
        """The part of each of so many workers."""
        return replace(self, recipe=replace(self.recipe, lanes=max(1, self.recipe.lanes // workers)))


def fit(
    address: str, workers: int, asked: Fit, tell: Callable[[Epoch], None]
) -> tuple[Trained, tuple[str, ...]]:
    """What was trained, and the nodes that did it. tell: of every epoch, when all is done.

    Raises SourceProblem as `train` does, or when the cluster has too few CPUs.
    """
    with connected(address):
        if cpus() < workers:
            raise SourceProblem(
                f"--ray-workers {workers}: the cluster has {cpus():g} CPUs, and each worker takes one"
            )
        if len(asked.shards) < workers:
            raise SourceProblem(
                f"--ray-workers {workers}: there are {len(asked.shards)} shards with shoppers; take fewer"
            )
        with worded():
            rays, torches = part("ray.train"), part("ray.train.torch")
            trainer = torches.TorchTrainer(
                _work,
                train_loop_config={"fit": asked.of(workers)},
                torch_config=torches.TorchConfig(backend="gloo"),
                scaling_config=rays.ScalingConfig(
                    num_workers=workers, resources_per_worker={"CPU": 1}, placement_strategy="SPREAD"
                ),
                run_config=rays.RunConfig(storage_path=f"{asked.shards.uri}/ray"),
            )
            trained, nodes = trainer.fit().return_value
    for epoch in trained.epochs:
        tell(epoch)
    return trained, nodes


def _work(config: dict[str, Any]) -> tuple[Trained, tuple[str, ...]]:
    from models.scale.together import Together

    asked: Fit = config["fit"]
    world = Together()
    trained = train(asked.shards, asked.until, asked.recipe, asked.seed, warm=asked.warm, world=world)
    return trained, tuple(world.gather(node()))
