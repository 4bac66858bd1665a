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

from collections.abc import Callable
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from models.architecture import HABIT_SCALE, LEAST_WEIGHT, TYPES, Architecture, Weights
from models.families.trunk import trunk
from models.featurizer import DENSE, FeatureSpec, bucket
from models.habits import habits
from models.recall import Recall
from models.survival import SURVIVAL_DAYS, TASKS
from models.tasks import MOST_LOG, Split, split

_SINCE, _FIRST = DENSE.index("log_since_previous"), DENSE.index("first_event")
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
        shape = self.architecture
        sizes = [hidden.shape[1] - shape.past_size - shape.memory - 1, shape.past_size, shape.memory + 1]
        carried, past, memory = torch.split(hidden, sizes, 1)
        (seen, fresh), past = _rounds(self._look_back, (ids, dense), batch_sizes, past)
        inputs = torch.cat([self._inputs(ids, dense, named), seen], 1)
        (output,), carried = _rounds(self._trunk, (inputs,), batch_sizes, carried)
        recalled, memory = self._remember(ids[:, 1], fresh, batch_sizes.tolist(), memory)
        return torch.cat([output, dense, seen, recalled], 1), torch.cat([carried, past, memory], 1)

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

    def _trunk(self, inputs: Tensor, state: Tensor) -> tuple[tuple[Tensor], Tensor]:
        output, state = self.trunk(inputs, state)
        return (output,), state

    def _look_back(self, ids: Tensor, dense: Tensor, past: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """What T events of B shoppers say beside those before them: ids (T, B, 4), dense (T, B, D) -> seen (T, B, `seen`),
        whether a category is new in its moment (T, B, 1)."""
        shape = self.architecture
        usual, recalled = torch.split(past, [shape.habits_size, shape.recall_size], 1)
        found, fresh = [dense[..., :0]], (ids[..., 1:2] != 0).float()
        if shape.habits:
            shares, usual = habits(ids[..., 2], usual)
            found.append(shares)
        if shape.recall:
            going_on = (dense[..., _SINCE] == 0) & (dense[..., _FIRST] == 0)
            seen, again, recalled = self._recall(ids[..., :2], going_on, recalled)
            found.append(seen)
            fresh = fresh * (1 - again[..., None])
        return (torch.cat(found, 2), fresh), torch.cat([usual, recalled], 1)

    def _remember(
        self, categories: Tensor, fresh: Tensor, batch_sizes: list[int], memory: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Running mean of category embeddings at every event (N, memory), and the state it is carried in.

        The state holds sum and weight, both decaying, so that the mean is right from the first event on. Events that
        are not fresh (N, 1), without a category or with one that this moment had, leave it as it is.
        """
        new = torch.cat([self.memory(categories), memory.new_ones(len(categories), 1)], 1)
        rates = self.architecture.memory_rate * fresh
        seen, ended = [], []
        for came, rate in zip(torch.split(new, batch_sizes), torch.split(rates, batch_sizes), strict=True):
            if len(came) < len(memory):
                ended.append(memory[len(came) :])
                memory = memory[: len(came)]
            memory = memory + rate * (came - memory)
            seen.append(memory)
        states = torch.cat(seen)
        return states[:, :-1] / states[:, -1:].clamp(min=LEAST_WEIGHT), torch.cat([memory, *reversed(ended)])


def _rounds(
    layer: Callable[..., tuple[tuple[Tensor, ...], Tensor]],
    inputs: tuple[Tensor, ...],
    batch_sizes: Tensor,
    state: Tensor,
) -> tuple[tuple[Tensor, ...], Tensor]:
    """A layer over packed rows (N, …): rounds with the same number of shoppers are one dense block without padding.

    layer: inputs (T, B, …) and state (B, S) -> outputs (T, B, …), state.
    torch's own packed LSTM goes round by round, and its backward pass on the CPU fills a gradient of the whole
    input for every one: 860 µs per event for 32 shoppers of some 350 events each, where this takes 24.
    """
    sizes, rounds = (part.tolist() for part in torch.unique_consecutive(batch_sizes, return_counts=True))
    lengths = [size * steps for size, steps in zip(sizes, rounds, strict=True)]
    outputs, ended = [], []
    blocks = zip(*(torch.split(part, lengths) for part in inputs), strict=True)
    for size, steps, block in zip(sizes, rounds, blocks, strict=True):
        ended.append(state[size:])
        found, state = layer(*(part.view(steps, size, -1) for part in block), state[:size])
        outputs.append([part.flatten(0, 1) for part in found])
    joined = tuple(torch.cat(parts) for parts in zip(*outputs, strict=True))
    return joined, torch.cat([state, *reversed(ended)])


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
