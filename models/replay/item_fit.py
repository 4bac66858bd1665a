"""Fits the next-item head on the frozen network: what its trunks say of the items that come next.

    Sequences ─► vocabulary ─► moments, with trunk and last events ─► items of the next moment ─► softmax, sampled if large

**The target**: the items of the shopper's next moment in which he or she bought, put into the cart, viewed, clicked or marked an
item of the vocabulary (TURNED_TO), each of them alike. Of a shop's groceries that is the next basket; where people browse it is
mostly the next view. Impressions do not count: they are the shop's own choice.
A second fit, so that the calibrated scores are those of the training, to the bit. An item's bias begins at the log of its share.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from models.engine import Engine
from models.events import TYPE_CODE
from models.families.interface import Sessions
from models.families.learning import Learning, Negatives
from models.families.next_item import where_drawn
from models.featurizer import FeatureSpec
from models.item_head import ItemHead, by_hash, place_of, repeats
from models.replay.dataset import Sequences
from models.replay.scoring import GROUP, trunks

Array = npt.NDArray[Any]

TURNED_TO = ("purchase", "add_to_cart", "item_view", "click", "wishlist", "favorite")
WIDTH = 64  # of item vectors
MOMENTS = 60_000  # that are learnt from, by chance: bounds memory and time
LEAST_MOMENTS = 200  # to learn from at all
HELD_OUT = 0.1  # share of shoppers who say when to stop
FULL = 2_048  # items up to which the softmax is over all of them
QUICKER = (
    10.0  # times the rate of the others, for what repeats weigh: there are few of them, or an item has few
)
TARGETS = 4  # items of the next moment that an update looks at, by chance
REPEAT_START = (3.0, 1.0, 0.5, -0.5, 0.0)  # where the weights of `repeats` begin
EPOCHS, BATCH, RATE, PATIENCE, DECAY, DROPOUT = 12, 256, 1e-3, 2, 1e-3, 0.4


@dataclass(frozen=True)
class Moments:
    """Moments (M,) with a next one. trunk float32 (M, T); recent: positions int64 (M, R) of the items of the last events,
    oldest first, -1 = none; types uint8 (M, R); items (K,) of the next moments, one after the other, begin at starts
    (M+1,); shopper (M,)."""

    trunk: npt.NDArray[np.float32]
    recent: Array
    types: Array
    starts: Array
    items: Array
    shopper: Array

    def __len__(self) -> int:
        return len(self.trunk)


def vocabulary(sequences: Sequences, size: int) -> Array:
    """Hashes (V,) of the items that shoppers turned to most often, at most `size`, most frequent first."""
    events = sequences.events
    names, counts = np.unique(events["item"][turned_to(events)], return_counts=True)
    best = np.lexsort((names, -counts))[:size]
    return np.asarray(names[best])


def turned_to(events: Array) -> npt.NDArray[np.bool_]:
    """Which events are of an item and of a type in TURNED_TO."""
    codes = [TYPE_CODE[name] for name in TURNED_TO]
    return np.asarray(np.isin(events["type"], codes) & (events["item"] != 0))


def next_items(sequences: Sequences, turned: Array) -> tuple[Array, Array, Array]:
    """Of each row (N,) where the items of the shopper's next moment with any begin and stop, and those items (K,), by shopper
    and time. turned: (N,) place in the vocabulary of the item that the row turns to, -1 = none."""
    time = sequences.events["time"]
    low = int(time.min())
    span = int(time.max()) - low + 2
    keys = sequences.shopper * span + (time - low)
    rows = np.flatnonzero(turned >= 0)
    rows = rows[
        np.argsort(keys[rows], kind="stable")
    ]  # a late event stands behind those that it belongs before
    told = keys[rows]
    first = np.searchsorted(told, keys, side="right")
    following = np.append(told, np.iinfo(np.int64).max)[first]
    mine = following < (sequences.shopper + 1) * span
    return first, np.where(mine, np.searchsorted(told, following, side="right"), first), turned[rows]


def moments(
    sequences: Sequences, words: Array, engine: Engine, spec: FeatureSpec, ring: int, seed: int
) -> Moments:
    """Some complete moments, at most MOMENTS, that another one follows."""
    events = sequences.events
    position = place_of(events["item"], *by_hash(words))
    turned = np.where(turned_to(events), position, -1)
    first, stop, told = next_items(sequences, turned)
    rows = np.flatnonzero(sequences.last & (stop > first))
    if len(rows) > MOMENTS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MOMENTS, replace=False))
    counts = stop[rows] - first[rows]
    starts = np.concatenate([[0], np.cumsum(counts)])
    items = told[np.repeat(first[rows] - starts[:-1], counts) + np.arange(starts[-1])]
    back = rows[:, None] - np.arange(ring - 1, -1, -1)
    mine = back >= sequences.bounds[sequences.shopper[rows]][:, None]
    back = np.maximum(back, 0)
    recent = np.where(mine, position[back], -1)
    trunk = trunks_at(sequences, engine, spec, rows)
    return Moments(trunk, recent, events["type"][back], starts, items, sequences.shopper[rows])


def trunks_at(sequences: Sequences, engine: Engine, spec: FeatureSpec, rows: Array) -> Array:
    """Trunks (K, T) of rows (K,), rising."""
    found = np.empty((len(rows), engine.trunk_size), np.float32)
    for group in range(0, len(sequences.users), GROUP):
        bounds = sequences.bounds[group : group + GROUP + 1]
        some = slice(*np.searchsorted(rows, [bounds[0], bounds[-1]]).tolist())
        if some.start < some.stop:
            features = sequences.features(spec, slice(int(bounds[0]), int(bounds[-1])))
            at = rows[some] - bounds[0]
            found[some] = trunks(engine, features.ids, features.dense, bounds - bounds[0], at)
    return found


def fit(
    sequences: Sequences, engine: Engine, spec: FeatureSpec, size: int, ring: int, seed: int
) -> tuple[ItemHead, dict[str, float]] | None:
    """The head and what it reached; None where there is too little to learn from (no item ids, few moments).

    size: of the vocabulary at most. ring: latest events of a shopper that repeats look at (setting ring_events).
    """
    words = vocabulary(sequences, size)
    if len(words) < 2:
        return None
    found = moments(sequences, words, engine, spec, ring, seed)
    if len(found) < LEAST_MOMENTS:
        return None
    torch.set_num_threads(1)  # two wait for each other where a broker or another job has the second core
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    shoppers = np.unique(found.shopper)
    out = shoppers[rng.random(len(shoppers)) < HELD_OUT]
    held = np.isin(found.shopper, out)
    if not held.any() or held.all():
        held = rng.random(len(found)) < HELD_OUT
    counts = np.bincount(found.items, minlength=len(words)).astype(np.float64)
    network = Network(found.trunk[~held], counts, len(words))
    reached = _learn(network, found, np.flatnonzero(~held), np.flatnonzero(held), counts, seed, rng)
    names = tuple(sequences.item_names[code] for code in words.tolist())
    head = network.folded(names, _categories(sequences, words))
    said = {"items": float(len(words)), "moments": float(len(found)), "held_out_loss": reached}
    return head, said


class Network(nn.Module):
    """The head while it learns; trunks are standardised, which `folded` multiplies into the first layer."""

    def __init__(self, trunk: Array, counts: Array, size: int) -> None:
        super().__init__()
        self.mean = torch.from_numpy(trunk.mean(0))
        self.scale = torch.from_numpy(1.0 / np.maximum(trunk.std(0), 1e-3)).float()
        self.inner = nn.Linear(trunk.shape[1], WIDTH)
        self.dropout = nn.Dropout(DROPOUT)
        self.vectors = nn.Embedding(size, WIDTH)
        nn.init.normal_(self.vectors.weight, std=0.1 * WIDTH**-0.5)
        self.bias = nn.Embedding(size, 1)
        share = (counts + 1.0) / (counts.sum() + len(counts))
        with torch.no_grad():
            self.bias.weight[:, 0] = torch.from_numpy(np.log(share))
        self.again = nn.Embedding(size, 1)
        nn.init.zeros_(self.again.weight)
        self.repeat = nn.Parameter(torch.tensor(REPEAT_START))

    def forward(self, trunk: Tensor) -> Tensor:
        """(N, T) -> (N, WIDTH)."""
        inner = self.inner((trunk - self.mean) * self.scale)
        return cast(Tensor, self.dropout(torch.relu(inner)))

    def folded(self, items: tuple[str, ...], categories: tuple[str, ...]) -> ItemHead:
        with torch.no_grad():
            inner = self.inner.weight * self.scale
            shift = self.inner.bias - inner @ self.mean
        arrays = [
            inner,
            shift,
            self.vectors.weight,
            self.bias.weight[:, 0],
            self.again.weight[:, 0],
            self.repeat,
        ]
        return ItemHead(items, categories, *(one.detach().numpy().astype(np.float32) for one in arrays))


def _learn(
    network: Network,
    found: Moments,
    rows: Array,
    held: Array,
    counts: Array,
    seed: int,
    rng: np.random.Generator,
) -> float:
    """Trains in place; the network is left as it was at its best on what was held out. Returns the loss there."""
    told = Sessions(found.items.astype(np.int32), np.array([0, len(found.items)]), len(counts))
    draw = Negatives(told, Learning(negatives=FULL), seed) if len(counts) > FULL else None
    quick = [network.repeat, network.again.weight]
    others = [one for one in network.parameters() if all(one is not other for other in quick)]
    groups: list[dict[str, Any]] = [{"params": others, "weight_decay": DECAY}, {"params": quick}]
    optimiser = torch.optim.Adam(groups, lr=RATE)
    steps = EPOCHS * -(-len(rows) // BATCH)
    rates = [RATE, QUICKER * RATE]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, total_steps=steps, pct_start=0.1)
    judged = held[np.linspace(0, len(held) - 1, min(len(held), 2_000)).astype(np.int64)]
    best, kept, waited = np.inf, copy.deepcopy(network.state_dict()), 0
    for _ in range(EPOCHS):
        network.train()
        for some in np.array_split(rng.permutation(rows), -(-len(rows) // BATCH)):
            loss = _loss(network, found, some, rng, None if draw is None else draw())
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        network.eval()
        reached = _held_out_loss(network, found, judged, seed)
        if not np.isfinite(reached):
            raise ValueError(
                f"next-item head: the loss is {reached}; lower RATE in models/replay/item_fit.py"
            )
        waited = 0 if reached < best else waited + 1
        if reached < best:
            best, kept = reached, copy.deepcopy(network.state_dict())
        if waited == PATIENCE:
            break
    network.load_state_dict(kept)
    network.eval()
    return float(best)


@torch.no_grad()
def _held_out_loss(network: Network, found: Moments, rows: Array, seed: int) -> float:
    rng = np.random.default_rng(seed)  # the same items each time
    parts = np.array_split(rows, -(-len(rows) // 64))
    total = sum(float(_loss(network, found, some, rng, None)) * len(some) for some in parts)
    return total / len(rows)


def _loss(
    network: Network,
    found: Moments,
    rows: Array,
    rng: np.random.Generator,
    drawn: tuple[Tensor, Tensor] | None,
) -> Tensor:
    """Mean cross entropy of one item of the next moment, drawn by chance, of rows (N,).

    drawn: negatives and their log rates, which stand for the rest of the vocabulary (see models/families/next_item.py): the
    true item and those of the last events are in the sum as they are, since repeats weigh most there.
    """
    first, counts = found.starts[rows, None], np.diff(found.starts)[rows, None]
    true = torch.from_numpy(found.items[first + (rng.random((len(rows), TARGETS)) * counts).astype(np.int64)])
    inner = network(torch.from_numpy(found.trunk[rows]))
    where = torch.from_numpy(found.recent[rows])
    popular = network.bias(where.clamp(min=0))[:, :, 0]
    said = torch.from_numpy(repeats(found.recent[rows], found.types[rows], popular.detach().numpy()))
    bonus = said @ network.repeat + network.again(where.clamp(min=0))[:, :, 0] * said[:, :, 0]
    if drawn is None:
        scores = torch.addmm(network.bias.weight[:, 0], inner, network.vectors.weight.T)
        scores = scores.scatter_add(1, where.clamp(min=0), bonus)
        return -scores.log_softmax(1).gather(1, true).mean()
    negatives, log_rates = drawn
    own = (network.vectors(true) @ inner[:, :, None])[:, :, 0] + network.bias(true)[:, :, 0]
    own = own + (bonus[:, None] * (where[:, None] == true[:, :, None])).sum(2)
    others = torch.addmm(network.bias(negatives)[:, 0] + log_rates, inner, network.vectors(negatives).T)
    others = others.index_put(where_drawn(torch.cat([where, true], 1), negatives), torch.tensor(-torch.inf))
    lately = (network.vectors(where.clamp(min=0)) @ inner[:, :, None])[:, :, 0] + bonus
    lately = lately + popular
    lately = lately.masked_fill(said[:, :, 0] == 0, -torch.inf)
    again = torch.triu(true[:, :, None] == true[:, None, :], 1).any(1)
    again |= (where[:, None] == true[:, :, None]).any(2)
    total = torch.logsumexp(torch.cat([others, lately, own.masked_fill(again, -torch.inf)], 1), 1)
    return cast(Tensor, (total[:, None] - own).mean())


def _categories(sequences: Sequences, words: Array) -> tuple[str, ...]:
    """The category that each item came with last, "" where with none."""
    events = sequences.events
    named = events[(events["item"] != 0) & (events["category"] != 0)]
    at = place_of(named["item"], *by_hash(words))
    codes = np.zeros(len(words), np.uint32)
    codes[at[at >= 0]] = named["category"][at >= 0]
    return tuple(sequences.category_names.get(code, "") for code in codes.tolist())
