"""A causal transformer (as SASRec, Kang & McAuley 2018) as the trunk: each event looks at the `window` events before it.

What is carried from event to event are keys and values of the last `window` events in every layer, oldest first, and
which of them are there: a new shopper has none. How far back an event lies counts by a slope of each attention head
(ALiBi, Press et al. 2022), so that the window can slide without being computed again.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from models import trunks
from models.architecture import Architecture


class Layer(nn.Module):
    """Attention, then two linear layers; both added to what comes in, both after a normalisation."""

    def __init__(self, size: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(size), nn.LayerNorm(size)
        self.project, self.merge = nn.Linear(size, 3 * size), nn.Linear(size, size)
        self.widen, self.narrow = nn.Linear(size, trunks.WIDER * size), nn.Linear(trunks.WIDER * size, size)
        self.dropout = nn.Dropout(dropout)
        self._heads = heads

    def forward(self, block: Tensor, kept: list[Tensor], bias: Tensor) -> tuple[Tensor, list[Tensor]]:
        """block (B, T, size), kept keys and values (B, W, size) each, bias (B, heads, T, W + T) of the scores."""
        asked, *given = self.project(self.before(block)).chunk(3, 2)
        keys, values = (torch.cat([old, new], 1) for old, new in zip(kept, given, strict=True))
        found = nn.functional.scaled_dot_product_attention(
            self._apart(asked), self._apart(keys), self._apart(values), attn_mask=bias
        )
        block = block + self.dropout(self.merge(found.transpose(1, 2).flatten(2)))
        block = block + self.dropout(self.narrow(torch.relu(self.widen(self.between(block)))))
        return block, [part[:, block.shape[1] :] for part in (keys, values)]

    def _apart(self, rows: Tensor) -> Tensor:
        """(B, T, size) -> (B, heads, T, size / heads)."""
        B, T, _ = rows.shape
        return rows.view(B, T, self._heads, -1).transpose(1, 2)


class Transformer(nn.Module):
    """See `models.families.trunk.trunk`."""

    def __init__(self, architecture: Architecture, inputs: int) -> None:
        super().__init__()
        size, heads = architecture.sizes[0], architecture.attention_heads
        self.lift, self.norm = nn.Linear(inputs, size), nn.LayerNorm(size)
        self.layers = nn.ModuleList(Layer(size, heads, architecture.dropout) for _ in architecture.sizes)
        self._parts, self._window = trunks.state_parts(architecture), architecture.window
        self._slopes: Tensor
        slopes = torch.from_numpy(trunks.slopes(heads))[:, None, None]
        self.register_buffer("_slopes", slopes, persistent=False)

    def forward(self, block: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        there, *kept = torch.split(state, self._parts, 1)
        block = self.lift(block).transpose(0, 1)
        steps = block.shape[1]
        there = torch.cat([there, there.new_ones(len(there), steps)], 1)
        bias = self._bias(there, steps)
        after = [there[:, steps:]]
        caches = [part.view(len(part), self._window, -1) for part in kept]
        for number, layer in enumerate(self.layers):
            block, cache = layer(block, caches[2 * number : 2 * number + 2], bias)
            after += [part.flatten(1) for part in cache]
        return self.norm(block).transpose(0, 1), torch.cat(after, 1)

    def shares(self, projected: Tensor) -> Tensor:
        """Shares (T, T) of one shopper's events in each of them, heads averaged, from a layer's projection (1, T, 3 size)."""
        queries, keys, _ = (
            part.view(*part.shape[:2], len(self._slopes), -1).transpose(1, 2)
            for part in projected.chunk(3, 2)
        )
        steps = projected.shape[1]
        bias = self._bias(projected.new_ones(1, self._window + steps), steps)[..., self._window :]
        scores = queries @ keys.transpose(2, 3) / queries.shape[3] ** 0.5 + bias
        return cast(Tensor, scores.softmax(3).mean(1)[0])

    def _bias(self, there: Tensor, steps: int) -> Tensor:
        """(B, heads, T, W + T): minus slope × distance, ABSENT where a key is not there, later or too long ago."""
        asked = torch.arange(self._window, self._window + steps, device=there.device)[:, None]
        distance = asked - torch.arange(self._window + steps, device=there.device)
        near = (distance >= 0) & (distance <= self._window)
        far = torch.where(near, 0.0, trunks.ABSENT) - self._slopes * distance.clamp(min=0)
        return far + (1.0 - there)[:, None, None, :] * trunks.ABSENT
