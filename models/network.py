"""IntentNetwork: what a shopper's events say about the next ones, in torch. Trained by replay, served by EngineTorch.

    ids, dense ──► embeddings ++ dense ─► trunk ──► h ++ dense ──► relu layer ──┬─► hazard logits (13)
        │                                   ▲ carried state                     ├─► logits of other tasks
        │                                                                       ├─► category logits
        └─ category ──► running mean of category embeddings, the memory ────────┘

The trunk is an LSTM unless the architecture says another (models/families/).
The memory is there because an LSTM of this size forgets which categories a shopper buys: on a quarter of the Complete
Journey households one of five named was in the next basket in 61 % of cases without it, 67 % with it,
and 64 % for the shopper's own five most frequent.
"""

from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from models.architecture import HABIT_SCALE, LEAST_WEIGHT, TYPES, Architecture, Weights
from models.families.trunk import trunk
from models.featurizer import FeatureSpec, bucket
from models.habits import habits
from models.recall import Recall
from models.survival import SURVIVAL_DAYS, TASKS
from models.tasks import MOST_LOG, Split, split

MEMORY_GAIN = 8.0  # logit of a category that the memory holds alone; training goes on from there


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


class Heads(NamedTuple):
    """Logits of N events: hazard (N, 13), category (N, n_categories), extra (N, K) in the order of tasks.Split.extra."""

    hazard: Tensor
    category: Tensor
    extra: Tensor


class IntentNetwork(nn.Module):
    """The network of one release. `n_categories` is the size of its category vocabulary, "other" included; of `tasks`
    those that are not read off the survival curve have logits of their own."""

    def __init__(
        self, spec: FeatureSpec, architecture: Architecture, n_categories: int, tasks: tuple[str, ...] = TASKS
    ) -> None:
        super().__init__()
        self.spec, self.architecture = spec, architecture
        sizes = zip(spec.vocabulary(), architecture.embeddings(), strict=True)
        self.embed = nn.ModuleList(nn.Embedding(count, width) for count, width in sizes)
        for table in self.embed:
            nn.init.normal_(cast(nn.Embedding, table).weight, std=0.1)
        self.memory = nn.Embedding(spec.category_buckets, architecture.memory)
        nn.init.normal_(self.memory.weight, std=architecture.memory**-0.5)
        self.trunk = trunk(architecture, architecture.input_size(spec))
        self._recall = Recall(architecture)
        self.body = nn.Linear(architecture.body_size(spec), architecture.head)
        self.dropout = nn.Dropout(architecture.dropout)
        self.hazard = nn.Linear(architecture.head, len(SURVIVAL_DAYS))
        self.categories = nn.Linear(architecture.head + architecture.memory, n_categories)
        self.tasks = split(tasks)
        if self.tasks.extra:
            self.extra = nn.Linear(architecture.head + architecture.shares, len(self.tasks.extra))

    @torch.no_grad()
    def start_extra(self, bias: npt.NDArray[np.float32]) -> None:
        """Before training: the other tasks begin at their overall rates, given as logits (K,); types of the next event half
        way between those and the shopper's own shares, where these are known."""
        self.extra.weight.mul_(0.1)
        self.extra.bias.copy_(torch.from_numpy(bias))
        if self.architecture.shares and self.tasks.types:
            first = len(self.tasks.extra) - TYPES
            self.extra.weight[:, self.architecture.head :] = 0.0
            self.extra.weight[first:, -TYPES:] = torch.eye(TYPES) * HABIT_SCALE / 2
            self.extra.bias[first:] /= 2

    @torch.no_grad()
    def start_from(self, hashes: npt.NDArray[np.uint32], shares: npt.NDArray[np.float64]) -> None:
        """Before training: the category head begins at the overall shares plus the shopper's own frequencies.

        hashes: uint32 (n_categories,) as EVENT holds them, 0 for OTHER. shares: (n_categories,), each > 0.
        """
        buckets = torch.from_numpy(bucket(hashes, self.spec.category_buckets).astype(np.int64))
        own = self.memory.weight[buckets] * MEMORY_GAIN
        own[buckets == 0] = 0.0
        self.categories.weight[:, self.architecture.head :] = own
        self.categories.bias.copy_(torch.from_numpy(np.log(shares)))

    def forward(
        self,
        ids: Tensor,
        dense: Tensor,
        batch_sizes: Tensor,
        hidden: Tensor | None = None,
        named: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Trunk (N, T) of every event of packed shoppers, and their final hidden state (B, S).

        ids: int (N, 4), dense: float32 (N, D), both in the order of `pack_order`; batch_sizes: int64 (T,) on the
        CPU. hidden: initial state (B, S), longest shopper first; zeros when None. A long history can be passed in
        parts, some rounds at a time, with the first rows of the state that the part before returned.
        named: bool (N,), in training: of the other events the item's embedding is hidden.
        """
        if hidden is None:
            hidden = dense.new_zeros(int(batch_sizes[0]), self.architecture.state_size)
        carried, memory = torch.tensor_split(hidden, [-self.architecture.memory - 1], 1)
        output, seen, carried = self._rounds(ids, self._inputs(ids, dense, named), batch_sizes, carried)
        recalled, memory = self._remember(ids, batch_sizes.tolist(), memory)
        return torch.cat([output, dense, seen, recalled], 1), torch.cat([carried, memory], 1)

    def step(self, ids: Tensor, dense: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """One event each of B shoppers: ids int (B, 4), dense (B, D), hidden (B, S) -> trunk (B, T), hidden (B, S)."""
        return cast("tuple[Tensor, Tensor]", self(ids, dense, torch.tensor([len(ids)]), hidden))

    def heads(self, trunk: Tensor) -> Heads:
        """Logits of trunks (N, T)."""
        now, recalled = torch.split(trunk, [self.body.in_features, self.architecture.memory], 1)
        shared = self.dropout(torch.relu(self.body(now)))
        extra = self._others(shared, now) if self.tasks.extra else shared.new_empty(len(shared), 0)
        return Heads(self.hazard(shared), self.categories(torch.cat([shared, recalled], 1)), extra)

    def _others(self, shared: Tensor, now: Tensor) -> Tensor:
        """Logits (N, K) of the other tasks, which read the shopper's shares of event types undiluted."""
        shape = self.architecture
        if shape.shares:
            shares = now[:, len(now[0]) - shape.seen :][:, : shape.shares]
            shared = torch.cat([shared, shares], 1)
        return cast(Tensor, self.extra(shared))

    def _inputs(self, ids: Tensor, dense: Tensor, named: Tensor | None = None) -> Tensor:
        columns = list(ids.unbind(1))
        if named is not None:
            columns[0] = columns[0] * named
        parts = [table(column) for column, table in zip(columns, self.embed, strict=True)]
        return torch.cat([*parts, dense], 1)

    def _rounds(
        self, ids: Tensor, inputs: Tensor, batch_sizes: Tensor, state: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The trunk over packed rows: rounds with the same number of shoppers are one dense block without padding.

        torch's own packed LSTM goes round by round, and its backward pass on the CPU fills a gradient of the whole
        input for every one: 860 µs per event for 32 shoppers of some 350 events each, where this takes 24.
        """
        sizes, rounds = (part.tolist() for part in torch.unique_consecutive(batch_sizes, return_counts=True))
        lengths = [size * steps for size, steps in zip(sizes, rounds, strict=True)]
        outputs, seen, ended = [], [], []
        for size, steps, named, block in zip(
            sizes, rounds, torch.split(ids, lengths), torch.split(inputs, lengths), strict=True
        ):
            ended.append(state[size:])
            found, output, state = self._block(
                named.view(steps, size, -1), block.view(steps, size, -1), state[:size]
            )
            outputs.append(output.flatten(0, 1))
            seen.append(found.flatten(0, 1))
        return torch.cat(outputs), torch.cat(seen), torch.cat([state, *reversed(ended)])

    def _block(self, ids: Tensor, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """T events each of B shoppers: ids (T, B, 4), inputs (T, B, I) -> seen (T, B, `seen`), output, state."""
        shape = self.architecture
        if not shape.seen:
            return inputs.new_empty(*inputs.shape[:2], 0), *self.trunk(inputs, state)
        codes = 2 * shape.recall
        sizes = [state.shape[1] - shape.habits_size - codes, shape.habits_size, codes]
        state, usual, recalled = torch.split(state, sizes, 1)
        found = []
        if shape.habits:
            shares, usual = habits(ids[:, :, 2], usual)
            found.append(shares)
        if shape.recall:
            seen, recalled = self._recall(ids[:, :, :2], recalled)
            found.append(seen)
        output, state = self.trunk(torch.cat([inputs, *found], 2), state)
        return torch.cat(found, 2), output, torch.cat([state, usual, recalled], 1)

    def _remember(self, ids: Tensor, batch_sizes: list[int], memory: Tensor) -> tuple[Tensor, Tensor]:
        """Running mean of category embeddings at every event (N, memory), and the state it is carried in.

        The state holds sum and weight, both decaying, so that the mean is right from the first event on. Events
        without a category leave it as it is.
        """
        fresh = torch.cat([self.memory(ids[:, 1]), memory.new_ones(len(ids), 1)], 1)
        rates = self.architecture.memory_rate * (ids[:, 1:2] != 0)
        seen, ended = [], []
        for new, rate in zip(torch.split(fresh, batch_sizes), torch.split(rates, batch_sizes), strict=True):
            if len(new) < len(memory):
                ended.append(memory[len(new) :])
                memory = memory[: len(new)]
            memory = memory + rate * (new - memory)
            seen.append(memory)
        states = torch.cat(seen)
        return states[:, :-1] / states[:, -1:].clamp(min=LEAST_WEIGHT), torch.cat([memory, *reversed(ended)])


def scores_of(logits: Tensor, kinds: Split) -> Tensor:
    """Scores (N, K) of logits (N, K) of the tasks that are not read off the survival curve."""
    chances, amounts, types = torch.split(logits, kinds.sizes, 1)
    return torch.cat([chances.sigmoid(), amounts.clamp(max=MOST_LOG).exp(), types.softmax(1)], 1)


def weights_of(network: IntentNetwork) -> Weights:
    """A copy of the weights as numpy arrays under torch's names, as a release stores them."""
    return {
        name: value.detach().cpu().clone().contiguous().numpy()
        for name, value in network.state_dict().items()
    }


def network_from(
    spec: FeatureSpec,
    architecture: Architecture,
    n_categories: int,
    weights: Weights,
    tasks: tuple[str, ...] = TASKS,
) -> IntentNetwork:
    """A network in evaluation mode with the given weights; torch's error names a missing or misshapen one."""
    network = IntentNetwork(spec, architecture, n_categories, tasks)
    network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
    return network.eval()
