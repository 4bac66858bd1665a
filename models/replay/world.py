"""Who trains: one process alone, or several together (models/scale/), each on shards of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T")
Loss = Callable[[], tuple[Tensor, float]]  # a sum over rows, and their summed weight


class World(Protocol):
    """One of `size` processes that train one network. Every call is made by all of them, in the same order."""

    rank: int
    size: int

    def gather(self, mine: T) -> list[T]:
        """What each process has, by rank."""

    def sum(self, mine: float) -> float:
        """Over all processes."""

    def in_step(self, steps: Iterable[T]) -> Iterator[T | None]:
        """This process's steps, and None where it has run out while another has not."""

    def shared(self, network: nn.Module) -> Callable[[Loss], tuple[Tensor, float]]:
        """Evaluates a loss of the network; going back from it gives the gradients' mean over all processes."""


class Alone:
    """The only process."""

    rank, size = 0, 1

    def gather(self, mine: T) -> list[T]:
        return [mine]

    def sum(self, mine: float) -> float:
        return mine

    def in_step(self, steps: Iterable[T]) -> Iterator[T | None]:
        yield from steps

    def shared(self, network: nn.Module) -> Callable[[Loss], tuple[Tensor, float]]:
        return lambda loss: loss()


def no_loss(network: nn.Module) -> tuple[Tensor, float]:
    """Nothing of no rows, with a gradient of zero for every weight."""
    return torch.stack([one.sum() for one in network.parameters()]).sum() * 0.0, 0.0
