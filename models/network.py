"""IntentNetwork: an LSTM over a shopper's events with two heads, in torch. Trained by replay, served by
EngineTorch.

ids, dense ──► embeddings ++ dense ──► LSTM ──► h ++ dense = trunk ──► relu layer ──┬─► hazard logits (13)
                                        ▲ carried state                             └─► category logits
"""

from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from models.architecture import Architecture, Weights
from models.featurizer import FeatureSpec
from models.survival import SURVIVAL_DAYS


class Packed(NamedTuple):
    """How to lay out shoppers of different lengths for one pass, without padding.

    order: int64 (N,), row of the grouped events that stands at each packed position (first all first events,
    longest shopper first, then all second events, …). batch_sizes: int64 (T,), shoppers that still have a
    t-th event.
    shoppers: int64 (B,), the shoppers from longest to shortest, the order of initial and final hidden states.
    """

    order: npt.NDArray[np.int64]
    batch_sizes: npt.NDArray[np.int64]
    shoppers: npt.NDArray[np.int64]


def pack_order(lengths: npt.NDArray[np.int64]) -> Packed:
    """Packed layout of shoppers whose events stand grouped one after the other; lengths int64 (B,), each >=
    1."""
    lengths = np.asarray(lengths, np.int64)
    if not len(lengths) or lengths.min() < 1:
        raise ValueError("pack_order: every shopper needs at least one event; leave the others out")
    shoppers = np.argsort(-lengths, kind="stable")
    rank = np.empty(len(lengths), np.int64)
    rank[shoppers] = np.arange(len(lengths))
    starts = np.cumsum(lengths) - lengths
    place = np.arange(lengths.sum()) - np.repeat(starts, lengths)
    order = np.lexsort((np.repeat(rank, lengths), place))
    return Packed(order.astype(np.int64), np.bincount(place).astype(np.int64), shoppers.astype(np.int64))


class IntentNetwork(nn.Module):
    """The network of one release. `n_categories` is the size of its category vocabulary, "other" included."""

    def __init__(self, spec: FeatureSpec, architecture: Architecture, n_categories: int) -> None:
        super().__init__()
        self.spec, self.architecture = spec, architecture
        sizes = zip(spec.vocabulary(), architecture.embeddings(), strict=True)
        self.embed = nn.ModuleList(nn.Embedding(count, width) for count, width in sizes)
        for table in self.embed:
            nn.init.normal_(cast(nn.Embedding, table).weight, std=0.1)
        self.lstm = nn.LSTM(
            architecture.input_size(spec),
            architecture.hidden,
            architecture.layers,
            dropout=architecture.dropout if architecture.layers > 1 else 0.0,
        )
        self.body = nn.Linear(architecture.trunk_size(spec), architecture.head)
        self.dropout = nn.Dropout(architecture.dropout)
        self.hazard = nn.Linear(architecture.head, len(SURVIVAL_DAYS))
        self.categories = nn.Linear(architecture.head, n_categories)

    def forward(
        self, ids: Tensor, dense: Tensor, batch_sizes: Tensor, hidden: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Trunk (N, T) of every event of packed shoppers, and their final hidden state (B, S).

        ids: int (N, 4), dense: float32 (N, D), both in the order of `pack_order`; batch_sizes: int64 (T,) on
        the CPU.
        hidden: initial state (B, S), longest shopper first; zeros when None. Whole rounds only: the first must hold every shopper of `hidden`.
        """
        state = self._unpack(
            dense.new_zeros(int(batch_sizes[0]), self.architecture.state_size) if hidden is None else hidden
        )
        output, (h, c) = self._rounds(self._inputs(ids, dense), batch_sizes, self._unpack(hidden))
        return torch.cat([output, dense], 1), self._pack(h, c)

    def _rounds(
        self, inputs: Tensor, batch_sizes: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The LSTM over packed rows: rounds with the same number of shoppers are one dense block without padding.

        torch's own packed path does the same a round at a time, and its backward pass on the CPU fills a gradient of
        the whole input for every round: 860 µs per event at 1,000 rounds, where this takes 20.
        """
        sizes, rounds = (part.tolist() for part in torch.unique_consecutive(batch_sizes, return_counts=True))
        (h, c), outputs, ended = state, [], []
        blocks = torch.split(inputs, [size * steps for size, steps in zip(sizes, rounds, strict=True)])
        for block, size, steps in zip(blocks, sizes, rounds, strict=True):
            ended.append((h[:, size:], c[:, size:]))
            state = (h[:, :size].contiguous(), c[:, :size].contiguous())
            output, (h, c) = self.lstm(block.view(steps, size, -1), state)
            outputs.append(output.flatten(0, 1))
        last = [(h, c), *reversed(ended)]
        return torch.cat(outputs), (torch.cat([h for h, _ in last], 1), torch.cat([c for _, c in last], 1))

    def step(self, ids: Tensor, dense: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """One event each of B shoppers: ids int (B, 4), dense (B, D), hidden (B, S) -> trunk (B, T), hidden
        (B, S)."""
        output, (h, c) = self.lstm(self._inputs(ids, dense)[None], self._unpack(hidden))
        return torch.cat([output[0], dense], 1), self._pack(h, c)

    def heads(self, trunk: Tensor) -> tuple[Tensor, Tensor]:
        """Hazard logits (N, 13) and category logits (N, n_categories) of trunks (N, T)."""
        shared = self.dropout(torch.relu(self.body(trunk)))
        return self.hazard(shared), self.categories(shared)

    def _inputs(self, ids: Tensor, dense: Tensor) -> Tensor:
        parts = [table(ids[:, column]) for column, table in enumerate(self.embed)]
        return torch.cat([*parts, dense], 1)

    def _unpack(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        layout = hidden.view(-1, self.architecture.layers, 2, self.architecture.hidden)
        return layout[:, :, 0].transpose(0, 1).contiguous(), layout[:, :, 1].transpose(0, 1).contiguous()

    def _pack(self, h: Tensor, c: Tensor) -> Tensor:
        return torch.stack([h, c], 2).transpose(0, 1).reshape(h.shape[1], self.architecture.state_size)


def weights_of(network: IntentNetwork) -> Weights:
    """The weights as numpy arrays under torch's names, as a release stores them."""
    return {name: value.detach().cpu().contiguous().numpy() for name, value in network.state_dict().items()}


def network_from(
    spec: FeatureSpec, architecture: Architecture, n_categories: int, weights: Weights
) -> IntentNetwork:
    """A network in evaluation mode with the given weights; torch's error names a missing or misshapen one."""
    network = IntentNetwork(spec, architecture, n_categories)
    network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
    return network.eval()
