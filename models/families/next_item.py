"""A network that scores all items as the next one: one table of item vectors is its input and its output.

    items ──► vectors ──► encoder (gru4rec, sasrec) ──► outputs · vectors + biases ──► a score per item

Tied tables: "constrained embedding" of GRU4Rec, Hidasi & Karatzoglou 2018, arXiv 1706.03847. With `sharpness` the scores
are cosines times it (NISER, Gupta et al. 2019, arXiv 1909.04276), so that frequent items do not win by long vectors.
"""

from __future__ import annotations

from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional


class Encoder(Protocol):
    """What stands between item vectors: causal, and able to carry its state."""

    state_size: int

    def __call__(self, vectors: Tensor) -> Tensor:
        """(B, T, width) -> (B, T, width); an output sees its own and earlier vectors only."""

    def step(self, vectors: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One more vector each: (B, width), state (B, S) -> output (B, width), state (B, S)."""


class NextItem(nn.Module):
    """See the module. dropout: of item vectors and of outputs."""

    def __init__(
        self,
        n_items: int,
        width: int,
        encoder: Encoder,
        dropout: tuple[float, float],
        sharpness: float | None,
    ) -> None:
        super().__init__()
        self.vectors = nn.Embedding(n_items, width)
        nn.init.normal_(self.vectors.weight, std=width**-0.5)
        self.biases = nn.Embedding(n_items, 1)
        nn.init.zeros_(self.biases.weight)
        self.encoder = encoder
        self.dropout_in, self.dropout_out = (nn.Dropout(share) for share in dropout)
        self.sharpness = sharpness

    def read(self, vectors: Tensor) -> Tensor:
        """Outputs (B, T, width), ready to be scored, of item vectors (B, T, width)."""
        return self._ready(self.encoder(self.dropout_in(self._table(vectors))))

    def outputs(self, items: Tensor) -> Tensor:
        """Outputs (B, T, width) of items (B, T)."""
        return self.read(self.vectors(items))

    def step(self, items: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One item (B,) each -> output (B, width), state (B, S)."""
        output, state = self.encoder.step(self._table(self.vectors(items)), state)
        return self._ready(output), state

    def scores(self, outputs: Tensor) -> Tensor:
        """Scores (N, n_items) of outputs (N, width)."""
        return torch.addmm(self.biases.weight.T, outputs, self._table(self.vectors.weight).T)

    def loss(self, items: Tensor, told: Tensor, weights: Tensor) -> Tensor:
        """Mean cross entropy over all items, the full softmax.

        items: int64 (B, T+1); told: bool (B, T), where the next item is there to be learned; weights (B, T).
        """
        outputs = self.outputs(items[:, :-1])[told]
        entropy = functional.cross_entropy(self.scores(outputs), items[:, 1:][told], reduction="none")
        return _mean(entropy, weights[told])

    def sampled_loss(
        self, items: Tensor, told: Tensor, weights: Tensor, negatives: Tensor, log_rates: Tensor
    ) -> Tensor:
        """The same with the softmax's sum estimated from negatives (M,), distinct and ascending, that all rows share.

        log_rates (M,): log of how often each was drawn less that of how often it was expected; adding it to a negative's
        score (logQ: Bengio & Senécal 2008, doi 10.1109/TNN.2007.912312) makes the estimate of the sum unbiased. The true
        item is always in the sum, once and as it is, so it is left out where it was drawn.
        """
        inputs, true = items[:, :-1], items[:, 1:][told]
        ids = torch.cat(
            [inputs.flatten(), true, negatives]
        )  # one look-up: its gradient is as large as the table
        parts = [inputs.numel(), len(true), len(negatives)]
        given, wanted, drawn = torch.split(self.vectors(ids), parts)
        bias_wanted, bias_drawn = torch.split(self.biases(ids[inputs.numel() :])[:, 0], parts[1:])
        outputs = self.read(given.view(*inputs.shape, -1))[told]
        own = (outputs * self._table(wanted)).sum(1) + bias_wanted
        others = torch.addmm(bias_drawn + log_rates, outputs, self._table(drawn).T)
        others[where_drawn(true, negatives)] = -torch.inf
        total = torch.logaddexp(own, torch.logsumexp(others, 1))
        return _mean(total - own, weights[told])

    def _table(self, vectors: Tensor) -> Tensor:
        return vectors if self.sharpness is None else functional.normalize(vectors, dim=-1)

    def _ready(self, outputs: Tensor) -> Tensor:
        if self.sharpness is None:
            return cast(Tensor, self.dropout_out(outputs))
        return self.sharpness * functional.normalize(self.dropout_out(outputs), dim=-1)


def where_drawn(known: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns where known (N,) or one of (N, K) is in negatives (M,); a mask of N × M takes as long as the
    products."""
    columns = torch.searchsorted(negatives, known).clamp(max=len(negatives) - 1)
    at = (negatives[columns] == known).nonzero(as_tuple=True)
    return at[0], columns[at]


def _mean(entropy: Tensor, weights: Tensor) -> Tensor:
    return (entropy * weights).sum() / weights.sum()
