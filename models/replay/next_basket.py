"""Which of the five categories that were named are in the shopper's next basket? A row per basket that another follows."""

from typing import Any

import numpy as np
import numpy.typing as npt

from models import baseline
from models.evaluation.asked import BASELINE, CONSTANT, MODEL, AskedNames
from models.replay.dataset import PURCHASE, Sequences
from models.replay.predicted import Predicted
from models.replay.questions import baskets
from models.replay.splits import Split

Array = npt.NDArray[Any]

TOP = 5


def next_categories(sequences: Sequences, predicted: Predicted, split: Split) -> AskedNames | None:
    """None where no basket with a prediction is followed by another within the scored interval."""
    purchases = sequences.purchases
    _, moment, position = baskets(sequences, split.score)
    if not len(position):
        return None
    following = np.minimum(position + 1, len(purchases) - 1)
    shopper = purchases.shopper[position]
    starts, hashes = _categories(sequences)
    same = (
        (following > position)
        & (purchases.shopper[following] == shopper)
        & (purchases.time[following] < split.score.interval.stop)
        & (starts[following + 1] > starts[following])
    )
    at = predicted.latest(shopper, moment, exactly=True)
    keep = same & (at >= 0)
    if not keep.any():
        return None
    known, codes = np.unique(hashes, return_inverse=True)
    popularity = _popularity(sequences, split, starts, codes, len(known))
    most = min(TOP, len(known))
    named = {
        MODEL: predicted.categories[at[keep]][:, :TOP],
        BASELINE: known[_usual(sequences, position[keep], starts, codes, popularity, most)],
        CONSTANT: np.tile(known[np.argsort(-popularity, kind="stable")[:most]], (int(keep.sum()), 1)),
    }
    bought = following[keep]
    return AskedNames(
        f"next basket: a category of the {TOP} named",
        shopper[keep],
        starts[bought + 1] - starts[bought],
        {name: _among(names, bought, starts, hashes) for name, names in named.items()},
        int((same & (at < 0)).sum()),
        {BASELINE: "the shopper's most frequent", CONSTANT: "the most popular"},
    )


def _categories(sequences: Sequences) -> tuple[Array, Array]:
    """Distinct category hashes of every basket: starts (B+1,), hashes (K,) uint32."""
    events, purchases = sequences.events, sequences.purchases
    rows = np.flatnonzero((events["type"] == PURCHASE) & (events["category"] != 0))
    at = purchases.before(sequences.shopper[rows], events["time"][rows])
    pairs = np.unique((at << 32) | events["category"][rows].astype(np.int64))
    starts = np.searchsorted(pairs >> 32, np.arange(len(purchases) + 1))
    return starts, (pairs & 0xFFFFFFFF).astype(np.uint32)


def _popularity(sequences: Sequences, split: Split, starts: Array, codes: Array, size: int) -> Array:
    """In how many baskets of the learnt part each category is (size,)."""
    _, _, learnt = baskets(sequences, split.learn)
    inside = np.zeros(len(sequences.purchases), bool)
    inside[learnt] = True
    return np.bincount(codes[np.repeat(inside, np.diff(starts))], minlength=size).astype(np.float64)


def _usual(
    sequences: Sequences, position: Array, starts: Array, codes: Array, popularity: Array, most: int
) -> Array:
    """Codes of the shopper's most frequent categories up to each of these baskets (N, most)."""
    usual = np.zeros((len(position), most), np.int64)
    owner = sequences.purchases.shopper[position]
    order = np.argsort(owner, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(owner[order])) + 1):
        first = int(sequences.purchases.first[owner[rows[0]]])
        until = int(position[rows].max()) + 1
        held = [codes[starts[basket] : starts[basket + 1]] for basket in range(first, until)]
        ranked = baseline.frequent(held, popularity, most)
        usual[rows] = ranked[position[rows] - first]
    return usual


def _among(named: Array, bought: Array, starts: Array, hashes: Array) -> npt.NDArray[np.bool_]:
    """Whether each named category (N, k) is among those of its row's basket."""
    counts = starts[bought + 1] - starts[bought]
    owners = np.repeat(np.arange(len(bought)), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    came = (owners << 32) | hashes[np.repeat(starts[bought], counts) + within].astype(np.int64)
    asked = (np.arange(len(bought))[:, None] << 32) | named.astype(np.int64)
    found: npt.NDArray[np.bool_] = np.isin(asked, came) & (named != 0)
    return found
