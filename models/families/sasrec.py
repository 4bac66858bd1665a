"""SASRec: a causal Transformer over the items of a session. Kang & McAuley 2018, arXiv 1808.09781.

Two things differ, so that a live worker can carry it from event to event. A position looks at the last `window` only, its
own among them, and its keys and values are all that later ones need: the carried state is those of the window. And there
are no places to learn but a cost of distance per head, ALiBi (Press et al. 2022, arXiv 2108.12409), which stays right
when the window slides.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.families.next_item import Encoder
from models.families.sequence_ranker import SequenceRanker
from models.trunks import slopes


@dataclass(frozen=True)
class SASRecShape:
    """width: of item vectors and all layers. dropout: within the layers. sharpness: see next_item.py."""

    width: int = 128
    layers: int = 2
    heads: int = 2
    window: int = 20
    dropout: float = 0.2
    dropout_in: float = 0.2
    dropout_out: float = 0.2
    sharpness: float | None = None


class Block(nn.Module):
    """Attention and a feed-forward layer, each added to what came in, with norms before them."""

    def __init__(self, shape: SASRecShape) -> None:
        super().__init__()
        self.heads, self.share = shape.heads, shape.dropout
        self.norm_attention, self.norm_forward = nn.LayerNorm(shape.width), nn.LayerNorm(shape.width)
        self.queries_keys_values = nn.Linear(shape.width, 3 * shape.width)
        self.mix = nn.Linear(shape.width, shape.width)
        self.forward_layer = nn.Sequential(
            nn.Linear(shape.width, 4 * shape.width), nn.GELU(), nn.Linear(4 * shape.width, shape.width)
        )
        self.dropout = nn.Dropout(shape.dropout)

    def project(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Queries (B, T, width), keys and values (B, T, 2 × width)."""
        width = vectors.shape[-1]
        queries, rest = self.queries_keys_values(self.norm_attention(vectors)).split([width, 2 * width], -1)
        return queries, rest

    def attend(self, vectors: Tensor, queries: Tensor, keys_values: Tensor, bias: Tensor) -> Tensor:
        """vectors, queries (B, T, width) and keys_values (B, U, 2 × width); bias broadcasts to (B, heads, T, U)."""
        keys, values = keys_values.chunk(2, -1)
        q, k, v = (
            part.view(*part.shape[:2], self.heads, -1).transpose(1, 2) for part in (queries, keys, values)
        )
        dropout = self.share if self.training else 0.0
        read = functional.scaled_dot_product_attention(q, k, v, bias, dropout)
        vectors = vectors + self.dropout(self.mix(read.transpose(1, 2).flatten(2)))
        after: Tensor = vectors + self.dropout(self.forward_layer(self.norm_forward(vectors)))
        return after


class SASRecEncoder(nn.Module):
    """State: how many items were read, up to the window; then, for each layer, keys and values, the latest last."""

    slopes: Tensor

    def __init__(self, shape: SASRecShape) -> None:
        super().__init__()
        self.window, self.width = shape.window, shape.width
        self.state_size = 1 + shape.layers * shape.window * 2 * shape.width
        self.blocks = [Block(shape) for _ in range(shape.layers)]
        self.all_blocks = nn.ModuleList(self.blocks)  # so that torch sees them
        self.norm = nn.LayerNorm(shape.width)
        self.register_buffer("slopes", torch.from_numpy(slopes(shape.heads)), persistent=False)

    def forward(self, vectors: Tensor) -> Tensor:
        at = torch.arange(vectors.shape[1])
        bias = self._bias(at[:, None] - at)
        for block in self.blocks:
            vectors = block.attend(vectors, *block.project(vectors), bias)
        read: Tensor = self.norm(vectors)
        return read

    def step(self, vectors: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        known = (state[:, :1] + 1).clamp(max=self.window)
        caches = state[:, 1:].view(len(state), len(self.blocks), self.window, 2 * self.width)
        back = torch.arange(self.window - 1, -1, -1)
        bias = self._bias(back).masked_fill(back >= known[:, :, None, None], -torch.inf)
        vectors, after = vectors[:, None], []
        for block, cache in zip(self.blocks, caches.unbind(1), strict=True):
            queries, fresh = block.project(vectors)
            kept = torch.cat([cache[:, 1:], fresh], 1)
            vectors = block.attend(vectors, queries, kept, bias)
            after.append(kept.flatten(1))
        return self.norm(vectors[:, 0]), torch.cat([known, *after], 1)

    def _bias(self, back: Tensor) -> Tensor:
        """What a look `back` steps adds to an attention score: (heads, *back.shape), -inf beyond the window."""
        if back.ndim == 1:
            back = back[None]
        bias = -self.slopes[:, None, None] * back
        return bias.masked_fill((back < 0) | (back >= self.window), -torch.inf)


class SASRec(SequenceRanker):
    """See the module. Settings: SASRecShape and Learning."""

    kind = "sasrec"
    Shape = SASRecShape

    def encoder(self) -> Encoder:
        return SASRecEncoder(self.shape)
