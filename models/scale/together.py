"""Several processes that train one network, by torch.distributed: the gradients of every update are those of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from models.replay.world import Loss

T = TypeVar("T")


class Together:
    """`World` of the process group that has been set up."""

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()

    def gather(self, mine: T) -> list[T]:
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, mine)
        return found

    def sum(self, mine: float) -> float:
        total = torch.tensor(mine, dtype=torch.float64)
        dist.all_reduce(total)
        return float(total)

    def in_step(self, steps: Iterable[T]) -> Iterator[T | None]:
        ahead = iter(steps)
        while True:
            step = next(ahead, None)
            if not self.sum(step is not None):
                return
            yield step

    def shared(self, network: nn.Module) -> Callable[[Loss], tuple[Tensor, float]]:
        # What a loss leaves out in one batch (a head without a known target) has no gradient, and is not waited for.
        return cast(
            Callable[[Loss], tuple[Tensor, float]],
            DistributedDataParallel(_Evaluated(network), find_unused_parameters=True),
        )


class _Evaluated(nn.Module):
    """A network and its heads are called by the loss: to DDP, all of that is one pass forward."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, loss: Loss) -> tuple[Tensor, float]:
        return loss()
