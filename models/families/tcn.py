"""A causal convolutional network (Bai, Kolter & Koltun 2018) as the trunk: layer l looks at events 2^l apart.

What is carried from event to event are the last inputs of each layer, as far back as it looks, oldest first. A new
shopper's are zeros, as if there had been empty events before the first.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from models import trunks
from models.architecture import Architecture


class TCN(nn.Module):
    """See `models.families.trunk.trunk`."""

    def __init__(self, architecture: Architecture, inputs: int) -> None:
        super().__init__()
        sizes = architecture.sizes
        self.lift = nn.Linear(inputs, sizes[0])
        self.layers = nn.ModuleList(
            nn.Linear(architecture.kernel * below, size) for below, size in pairwise((sizes[0], *sizes))
        )
        self.dropout = nn.Dropout(architecture.dropout)
        self._parts = trunks.state_parts(architecture)
        self._reach = [trunks.reach(architecture, layer) for layer in range(len(sizes))]

    def forward(self, block: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        steps, size = block.shape[:2]
        block = self.lift(block)
        after: list[Tensor] = []
        carried = torch.split(state, self._parts, 1)
        for number, (layer, reach, part) in enumerate(zip(self.layers, self._reach, carried, strict=True)):
            before = part.view(size, reach, -1).transpose(0, 1)
            seen = torch.cat([before, block])  # (reach + steps, B, width)
            taps = [seen[first : first + steps] for first in range(0, reach + 1, 2**number)]
            found = self.dropout(torch.relu(layer(torch.cat(taps, 2))))
            block = found + block if found.shape == block.shape else found
            after.append(seen[steps:].transpose(0, 1).flatten(1))
        return block, torch.cat(after, 1)
