"""An IntentNetwork with an LSTM, laid out for serving in torch: one event each of many shoppers, or whole sequences at once.

A step is one matrix product per layer, and nothing in it waits for the device, so that a CUDA graph can hold it:

    ids, dense, hidden ─► embeddings ++ dense ++ h ++ 1 ─► product ─► gates ─► … next layer; memory ─► trunk, hidden

Operands of the products are in the compute precision; their sums, the gates and the carried state are float32. On a
trained release, over 50 events, no score of float16 is off by more than 2e-4. One of plain bfloat16, with its 8 bits,
would be off by up to 2e-3: so there a number is the sum of two, a product is three, and scores are off by 1e-5.
"""

from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from models.architecture import LEAST_WEIGHT
from models.families.recurrent import LSTM
from models.network import IntentNetwork, pack_order
from models.trunks import state_parts

PRECISIONS = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

_ALIGNED = 8  # tensor cores want the inner size of a product of 16-bit numbers to be a multiple of this


def serving(network: IntentNetwork, precision: torch.dtype) -> "ServingNetwork | PlainServing":
    """`network`, in evaluation mode, as it is served. ValueError: only an LSTM computes in other than float32."""
    kind = network.architecture.trunk
    if kind == "lstm" and not network.architecture.seen:
        return ServingNetwork(network, precision)
    if precision != torch.float32:
        raise ValueError(
            f"a {kind}{' with recall or habits' * (kind == 'lstm')} computes in float32 only: set engine_precision to "
            "float32, or serve an lstm without them"
        )
    return PlainServing(network)


class _Layer(NamedTuple):
    """weight (K, 4H), with bfloat16 (3K, 4H): the gates i, f, o, g of inputs ++ h ++ tail.

    tail (1, …): the 1 whose weight the bias is, then zeros.
    """

    weight: Tensor
    tail: Tensor


class ServingNetwork:
    """Steps and windows of `network`, which is in evaluation mode and on the device where all of it computes."""

    def __init__(self, network: IntentNetwork, precision: torch.dtype) -> None:
        architecture = network.architecture
        self.device = network.body.weight.device
        self.state_size = architecture.state_size
        self.trunk_size = architecture.trunk_size(network.spec)
        self.dense_size = network.spec.dense_size
        self._precision = precision
        self._sizes = [*state_parts(architecture), architecture.memory + 1]
        self._embed: list[Tensor] = [network.get_parameter(f"embed.{n}.weight").detach() for n in range(4)]
        memory = network.memory.weight.detach()
        self._memory = torch.cat([memory, torch.ones_like(memory[:, :1])], 1)  # the last column is its weight
        # Bucket 0 is "no category": such an event leaves the memory as it is.
        self._rate = architecture.memory_rate
        self._rates = torch.full_like(memory[:, :1], self._rate)
        self._rates[0] = 0.0
        lstms = [cast(nn.LSTM, layer) for layer in cast(LSTM, network.trunk).layers]
        self._layers = [self._laid_out(lstm) for lstm in lstms]
        # cuDNN would keep c in 8 bits between the events of a window: too few, so with bfloat16 windows are float32.
        self._whole = torch.float16 if precision == torch.float16 else torch.float32
        self._lstms = [_copied(lstm, self._whole).to(self.device) for lstm in lstms]

    def step(self, ids: Tensor, dense: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """ids int32 (B, 4), dense (B, D), hidden (B, S) -> trunk (B, T), hidden (B, S), all float32."""
        *state, memory = torch.split(hidden, self._sizes, 1)
        columns = ids.t().contiguous()
        below, after = [*self._embedded(columns), dense], []
        for (weight, tail), h, c in zip(self._layers, state[::2], state[1::2], strict=True):
            inputs = torch.cat([*below, h, tail.expand(len(ids), -1)], 1)
            gates = self._product(inputs, weight)
            gated, candidate = torch.split(gates, [3 * h.shape[1], h.shape[1]], 1)
            keep_in, keep, keep_out = gated.sigmoid().chunk(3, 1)
            now = torch.addcmul(keep * c, keep_in, candidate.tanh())
            below = [keep_out * now.tanh()]
            after += [below[0], now]
        fresh, rate = (functional.embedding(columns[1], table) for table in (self._memory, self._rates))
        memory = torch.lerp(memory, fresh, rate)
        return torch.cat([below[0], dense, _recalled(memory)], 1), torch.cat([*after, memory], 1)

    def windows(
        self, ids: npt.NDArray[np.int32], dense: npt.NDArray[np.float32], lengths: npt.NDArray[np.int64]
    ) -> tuple[Tensor, Tensor]:
        """Whole sequences from a zero state: trunk (B, T) at each shopper's newest event, and hidden (B, S).

        Events of B shoppers stand one shopper after the other: ids (N, 4), dense (N, D); lengths (B,), each >= 1.
        One call per layer of the LSTM, packed, never padded. ValueError when a shopper has no event.
        """
        B, N = len(lengths), len(ids)
        if not B or lengths.min() < 1:
            raise ValueError("windows: every shopper needs at least one event; leave the others out")
        sizes = np.cumsum(np.bincount(lengths)[:0:-1])[::-1]  # shoppers that have a first event, a second, …
        longest = np.argsort(-lengths, kind="stable")
        rank = np.empty_like(longest)
        rank[longest] = np.arange(B)
        counts, longest_first, back, round_starts = (
            self.put(part) for part in (lengths, longest, rank, np.cumsum(sizes) - sizes)
        )
        ends = counts.cumsum(0)
        starts = ends - counts
        owner = torch.repeat_interleave(torch.arange(B, device=self.device), counts, output_size=N)
        place = torch.arange(N, device=self.device) - starts[owner]
        columns, values = self.put(ids).t().contiguous(), self.put(dense)
        inputs = torch.cat([*self._embedded(columns), values], 1).to(self._whole)
        packed = torch.empty_like(inputs).index_copy_(0, round_starts[place] + back[owner], inputs)
        sequence = PackedSequence(packed, torch.from_numpy(sizes.copy()), longest_first, back)
        after: list[Tensor] = []
        # Without this cuDNN rounds operands of float32 to 10 bits, and a rebuilt row would differ from a stepped one.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            for lstm in self._lstms:
                sequence, carried = lstm(sequence)
                after += [part.squeeze(0).float() for part in carried]
        memory = self._remembered(columns[1], starts, ends, owner)
        trunk = torch.cat([after[-2], values[ends - 1], _recalled(memory)], 1)
        return trunk, torch.cat([*after, memory], 1)

    def _remembered(self, category: Tensor, starts: Tensor, ends: Tensor, owner: Tensor) -> Tensor:
        """The running mean at each shopper's end: an event counts rate × (1 - rate) ^ events with a category after it."""
        counted = category != 0
        seen = counted.cumsum(0)
        later = (seen[ends - 1][owner] - seen).float()
        shares = torch.where(counted, self._rate * (1.0 - self._rate) ** later, 0.0)
        return functional.embedding_bag(
            category.long(), self._memory, starts, mode="sum", per_sample_weights=shares
        )

    def put(self, array: npt.NDArray[np.generic]) -> Tensor:
        return _put(array, self.device)

    def _embedded(self, columns: Tensor) -> list[Tensor]:
        return [functional.embedding(ids, table) for ids, table in zip(columns, self._embed, strict=True)]

    def _product(self, inputs: Tensor, weight: Tensor) -> Tensor:
        """inputs @ weight with both in the compute precision and the sums in float32.

        That is what tensor cores do. The CPU has no such product in torch: there it is one of the rounded numbers in
        float32, the same but for the order of sums.
        """
        if self._precision == torch.float32:
            return inputs @ weight
        rounded = inputs.to(self._precision)
        if self._precision == torch.bfloat16:
            rounded = torch.cat([rounded, (inputs - rounded).to(self._precision), rounded], 1)
        if inputs.is_cuda:
            return torch.mm(rounded, weight, out_dtype=torch.float32)
        return rounded.float() @ weight.float()

    def _laid_out(self, lstm: nn.LSTM) -> _Layer:
        """torch orders gates i, f, g, o; here i, f, o stand together so that one sigmoid does all three."""
        H = lstm.hidden_size
        order = torch.tensor(np.r_[0 : 2 * H, 3 * H : 4 * H, 2 * H : 3 * H], device=self.device)
        below, own, *biases = (
            lstm.get_parameter(f"{part}_l0").detach()
            for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        columns = torch.cat([below, own, (biases[0] + biases[1])[:, None]], 1)
        columns = functional.pad(columns, (0, -columns.shape[1] % _ALIGNED))
        tail = torch.zeros(1, columns.shape[1] - below.shape[1] - H, device=self.device)
        tail[0, 0] = 1.0
        whole = columns[order].t().contiguous()
        weight = whole.to(self._precision)
        if self._precision == torch.bfloat16:  # x·w = x₁·w₁ + x₂·w₁ + x₁·w₂, and x₂·w₂ is too small to count
            weight = torch.cat([weight, weight, (whole - weight).to(self._precision)])
        return _Layer(weight, tail)


class PlainServing:
    """Steps and windows of a network with any trunk, as the network itself does them. See `ServingNetwork`."""

    def __init__(self, network: IntentNetwork) -> None:
        self._network = network
        self.device = network.body.weight.device
        self.state_size = network.architecture.state_size
        self.trunk_size = network.architecture.trunk_size(network.spec)
        self.dense_size = network.spec.dense_size
        self.step = network.step

    def windows(
        self, ids: npt.NDArray[np.int32], dense: npt.NDArray[np.float32], lengths: npt.NDArray[np.int64]
    ) -> tuple[Tensor, Tensor]:
        packed = pack_order(lengths)
        trunk, hidden = self._network(
            self.put(ids[packed.order]), self.put(dense[packed.order]), torch.from_numpy(packed.batch_sizes)
        )
        starts = np.cumsum(packed.batch_sizes) - packed.batch_sizes
        back = np.argsort(packed.shoppers)  # where each shopper stands from longest to shortest
        newest = starts[lengths - 1] + back
        return trunk[self.put(newest)], hidden[self.put(back)]

    def put(self, array: npt.NDArray[np.generic]) -> Tensor:
        return _put(array, self.device)


def _put(array: npt.NDArray[np.generic], device: torch.device) -> Tensor:
    """A copy of the array on the device (on the CPU the array itself)."""
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)


def _recalled(memory: Tensor) -> Tensor:
    return memory[:, :-1] / memory[:, -1:].clamp(min=LEAST_WEIGHT)


def _copied(lstm: nn.LSTM, precision: torch.dtype) -> nn.LSTM:
    made = nn.LSTM(lstm.input_size, lstm.hidden_size)
    made.load_state_dict(lstm.state_dict())
    return made.to(precision).eval()
