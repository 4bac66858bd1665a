"""LSTM, GRU and plain RNN as the trunk of a network: layers of one kind of cell, each with a size of its own.

What is carried from event to event is what torch's layers carry: h of each layer, and c behind it for an LSTM.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn

from models.architecture import Architecture


class Recurrent(nn.Module):
    """See `models.families.trunk.trunk`. `Cell` is the layer of torch, `carries` the tensors that it hands on."""

    Cell: type[nn.RNN] | type[nn.GRU] | type[nn.LSTM]
    carries = 1

    def __init__(self, architecture: Architecture, inputs: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            self.Cell(below, size) for below, size in pairwise((inputs, *architecture.sizes))
        )
        self.dropout = nn.Dropout(architecture.dropout)

    def forward(self, block: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        sizes = [cast(nn.RNNBase, layer).hidden_size for layer in self.layers]
        parts = torch.split(state, [size for size in sizes for _ in range(self.carries)], 1)
        after: list[Tensor] = []
        for number, layer in enumerate(self.layers):
            block = self.dropout(block) if number else block
            mine = [part.unsqueeze(0) for part in parts[number * self.carries : (number + 1) * self.carries]]
            block, carried = layer(block, self._given(mine))
            after += [carried] if self.carries == 1 else carried
        return block, torch.cat([part.squeeze(0) for part in after], 1)

    def _given(self, parts: list[Tensor]) -> Any:
        contiguous = tuple(part.contiguous() for part in parts)
        return contiguous[0] if self.carries == 1 else contiguous


class RNN(Recurrent):
    Cell = nn.RNN


class GRU(Recurrent):
    Cell = nn.GRU


class LSTM(Recurrent):
    Cell = nn.LSTM
    carries = 2
