"""The next-item head of a release: which items a shopper turns to next, looked up only where a list is wanted.

    trunk ─► relu layer ─► · item vectors + biases ─┬─► softmax over all items of the vocabulary ─► the best of those allowed
    items of the shopper's last events ─► repeats ──┘

It costs items × width per look-up, so no engine computes it: numpy does, for few events, and all engines agree. Repeats are
there because no vector of this size tells which of 20,000 items a shopper had lately; a bonus of a few learnt weights does,
and one more for each item, since milk is bought again and a pan is not.
It lies beside the weights that it was fitted on (models/replay/item_fit.py); a release without it is whole, too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import safetensors.numpy

from models.events import TYPE_CODE, hash_names
from models.release import Release, ReleaseProblem

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]

WEIGHTS_FILE, ITEMS_FILE = "next_item.safetensors", "next_item.json"
REPEATS = 5  # what is said of an item among the last events, see `repeats`
AT_ONCE = 1 << 22  # scores that are in memory at a time
BLOCK = 32  # scores of which only the largest is looked at first
PURCHASE = TYPE_CODE["purchase"]
_FORMAT = 1


class Next(NamedTuple):
    """An item that may come next, with its probability among all items of the vocabulary."""

    item: str
    category: str
    probability: float


class Best(Sequence[Next]):
    """Places (K,) in a head's vocabulary and their probabilities (K,), named only where they are asked: most are not, and
    thousands of small objects a batch would keep Python's garbage collector busy."""

    def __init__(self, head: ItemHead, places: Array, chances: Floats) -> None:
        self._head, self._places, self._chances = head, places, chances

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [self[one] for one in range(*at.indices(len(self)))]
        place = self._places[at]
        return Next(self._head.items[place], self._head.categories[place], float(self._chances[at]))


@dataclass(frozen=True, eq=False)
class ItemHead:
    """items, categories: ids (V,), most frequent first, and the category of each ("" = none).

    inner (W, T), inner_bias (W,): the layer over trunks (N, T); vectors (V, W), bias (V,); again (V,), how much
    more than others an item is one that people have again, and repeat (REPEATS,). All float32.
    """

    items: tuple[str, ...]
    categories: tuple[str, ...]
    inner: Floats
    inner_bias: Floats
    vectors: Floats
    bias: Floats
    again: Floats
    repeat: Floats

    def best(
        self, trunk: Floats, recent: Sequence[Array], count: int, allowed: Array | None = None
    ) -> list[Sequence[Next]]:
        """For trunks (N, T) the `count` likeliest items each, best first; equals by their place in the vocabulary.

        recent: N times EVENT, the shopper's latest events, oldest first. allowed: bool (V,), which may be named; None: all.
        Probabilities are over the whole vocabulary, whatever is allowed.
        """
        found: list[Sequence[Next]] = []
        rows = max(1, AT_ONCE // len(self.items))
        hidden = None if allowed is None else np.where(allowed, np.float32(0), np.float32(-np.inf))
        for first in range(0, len(trunk), rows):
            some = slice(first, first + rows)
            # A row's scores stay in the CPU's cache from here on, those of all rows would not.
            for line in self.scores(trunk[some], recent[some]):
                top = line.max()
                whole = np.exp(line - top).sum()
                if hidden is not None:
                    np.add(line, hidden, line)
                places = largest(line, count)
                places = places if allowed is None else places[allowed[places]]
                found.append(Best(self, places, np.exp(line[places] - top) / whole))
        return found

    def scores(self, trunk: Floats, recent: Sequence[Array]) -> Floats:
        """Logits (N, V)."""
        inner = np.maximum(trunk @ self.inner.T + self.inner_bias, 0)
        scores: Floats = inner @ self.vectors.T
        scores += self.bias
        lengths = np.array([len(events) for events in recent])
        if lengths.any():
            held = np.arange(lengths.max()) >= (lengths.max() - lengths)[:, None]  # the newest stand last
            items, types = np.full(held.shape, -1), np.zeros(held.shape, np.uint8)
            events = np.concatenate(list(recent))
            items[held], types[held] = self.positions(events["item"]), events["type"]
            said = repeats(items, types, self.bias[items])
            bonus = said @ self.repeat + self.again[items] * said[:, :, 0]
            row, event = (items >= 0).nonzero()
            np.add.at(scores, (row, items[row, event]), bonus[row, event])
        return scores

    def positions(self, hashes: Array) -> npt.NDArray[np.int64]:
        """Position of each item hash (N,) in the vocabulary, -1 = not in it."""
        return place_of(hashes, *self._by_hash)

    @cached_property
    def _by_hash(self) -> tuple[Array, Array]:
        return by_hash(hash_names(list(self.items)))

    def to_bytes(self, weights_sha256: str) -> dict[str, bytes]:
        """The head's files by name; weights_sha256: of the release's weights, whose trunks it reads."""
        arrays = {
            name: getattr(self, name)
            for name in ("inner", "inner_bias", "vectors", "bias", "again", "repeat")
        }
        data = safetensors.numpy.save({name: np.ascontiguousarray(one) for name, one in arrays.items()})
        said = {
            "format": _FORMAT,
            "of_weights_sha256": weights_sha256,
            "sha256": hashlib.sha256(data).hexdigest(),
            "items": self.items,
            "categories": self.categories,
        }
        return {WEIGHTS_FILE: data, ITEMS_FILE: json.dumps(said, ensure_ascii=False).encode()}


def load(release: Release) -> ItemHead | None:
    """The head of a release, None where it has none. ReleaseProblem when it is damaged or of other weights."""
    said, data = release.beside(ITEMS_FILE), release.beside(WEIGHTS_FILE)
    if said is None and data is None:
        return None
    mend = "copy the release again or train a new one"
    try:
        if said is None or data is None:
            raise ValueError(f"{ITEMS_FILE if said is None else WEIGHTS_FILE} is missing")
        found = json.loads(said)
        if found["format"] != _FORMAT:
            raise ValueError(f"format {found['format']}, this code reads {_FORMAT}")
        if found["of_weights_sha256"] != release.weights_sha256:
            raise ValueError("it was fitted on other weights")
        if found["sha256"] != hashlib.sha256(data).hexdigest():
            raise ValueError(f"{WEIGHTS_FILE} has another SHA-256 than {ITEMS_FILE} says")
        head = ItemHead(
            tuple(found["items"]), tuple(found["categories"]), **safetensors.numpy.load(bytes(data))
        )
        _check(head, release.card.architecture.trunk_size(release.card.features))
    except (KeyError, TypeError, ValueError) as problem:
        raise ReleaseProblem(f"{release.uri}: next-item head: {problem}; {mend}") from problem
    return head


def _check(head: ItemHead, trunk: int) -> None:
    size, width = len(head.items), len(head.inner_bias)
    wanted = {
        "inner": (width, trunk),
        "inner_bias": (width,),
        "vectors": (size, width),
        "bias": (size,),
        "again": (size,),
        "repeat": (REPEATS,),
    }
    for name, shape in wanted.items():
        array = getattr(head, name)
        if array.shape != shape or array.dtype != np.float32 or not np.isfinite(array).all():
            raise ValueError(f"{name} is {array.dtype} {array.shape}; want finite float32 {shape}")
    if len(head.categories) != size:
        raise ValueError(f"{len(head.categories)} categories for {size} items")


def largest(scores: Floats, count: int) -> npt.NDArray[np.int64]:
    """Where the `count` largest scores (V,) stand, largest first, equals by place; fewer when V is smaller.

    The count-th largest of the maxima of at least so many blocks is a bound that the count-th largest of all does not fall
    below: few reach it, and only they are sorted.
    """
    count = min(count, len(scores))
    block = min(BLOCK, len(scores) // max(count, 1))
    whole = len(scores) - len(scores) % block
    peaks = np.append(scores[:whole].reshape(-1, block).max(1), scores[whole:])
    reach = np.flatnonzero(scores >= np.partition(peaks, len(peaks) - count)[len(peaks) - count])
    places: npt.NDArray[np.int64] = reach[np.argsort(-scores[reach], kind="stable")[:count]]
    return places


def repeats(items: Array, types: Array, bias: Array) -> Floats:
    """What the last events (N, R), oldest first, say of their items: float32 (N, R, REPEATS).

    At the newest event of an item (position >= 0): 1, log(1 + times bought), log(1 + times seen otherwise), log of how many
    events back it is, 1 for the last, and the item's bias (N, R): how popular it is matters less of what is one's own. Zeros
    everywhere else, so that a sum over events counts an item once.
    """
    same = (items[:, :, None] == items[:, None, :]) & (items >= 0)[:, None, :]
    bought = (types == PURCHASE)[:, None, :]
    size = items.shape[1]
    newest = ~np.triu(same, 1).any(2) & (items >= 0)
    found = np.stack(
        [
            np.ones(items.shape),
            np.log1p((same & bought).sum(2)),
            np.log1p((same & ~bought).sum(2)),
            np.tile(np.log(np.arange(size, 0, -1.0)), (len(items), 1)),
            bias,
        ],
        2,
    )
    told: Floats = (found * newest[:, :, None]).astype(np.float32)
    return told


def by_hash(hashes: Array) -> tuple[Array, Array]:
    """Hashes (V,), sorted, and the position that each had."""
    order = np.argsort(hashes, kind="stable")
    return hashes[order], order


def place_of(hashes: Array, known: Array, order: Array) -> npt.NDArray[np.int64]:
    """Position (N,) of each hash among those that `by_hash` was given, -1 = not there; 0 stands for none."""
    at = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    return np.where((known[at] == hashes) & (hashes != 0), order[at], -1)
