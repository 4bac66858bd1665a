"""V-SKNN: what came in the training sessions most like this one, where late items count more than early ones.

    session ──► sessions that share an item ──► the nearest ──► their items, by how near each stands to the shared item

Vector-weighted session neighbours: Ludewig & Jannach 2018, doi 10.1007/s11257-018-9209-6. The three decays, over items of
the session, age of a neighbour and distance within the neighbour, are those of STAN: Garg et al. 2019,
doi 10.1145/3331184.3331322; its steps ahead and back have a decay each here, as an order that was seen tends to come again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from models.families import store
from models.families.interface import Array, Floats, Sessions
from models.families.sessions import batches, checked, lengths, owners

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Neighbourhood:
    """Settings of V-SKNN. Decays are the distance after which a weight falls to 1/e; None: none.

    neighbours: sessions that vote. recent: of each item, only the latest so many training sessions are looked at.
    items: over steps back from the session's last item. age: over training sessions back from the latest, as a share of
    all. ahead, back: over steps from the shared item within a neighbour. rare: an item weighs log(1 + S / its sessions)
    to this power; 0 is none.
    """

    neighbours: int = 200
    recent: int = 2000
    items: float | None = 2.0
    age: float | None = None
    ahead: float | None = None
    back: float | None = None
    rare: float = 0.0


class VSKNN:
    """See the module. Settings as in Neighbourhood."""

    logits = False

    def __init__(self, **settings: float | None) -> None:
        self.settings = Neighbourhood(**settings)  # type: ignore[arg-type]
        for name in ("neighbours", "recent", "items", "age", "ahead", "back"):
            value = getattr(self.settings, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name}: {value}; want more than 0")
        self.n_items = 0

    def fit(self, sessions: Sessions, seed: int = 0) -> Self:
        """Notes where each item stands. sessions: oldest first. Raises ValueError as `checked` does."""
        self.n_items = checked(sessions).n_items
        self.seen = sessions
        of = owners(sessions)
        # an item that comes twice in a session stands where it came last
        _, latest = np.unique((of * self.n_items + sessions.items)[::-1], return_index=True)
        at = np.sort(len(of) - 1 - latest)
        at = at[np.argsort(sessions.items[at], kind="stable")]
        self._at = at  # places of the distinct items of sessions, by item, then from the oldest session on
        self._ends = np.cumsum(np.bincount(sessions.items[at], minlength=self.n_items))
        self._of = of
        return self

    def predict(self, sessions: Sessions) -> Iterator[Floats]:
        """See Ranker."""
        for some in batches(checked(sessions, self.n_items)):
            yield self._votes(len(some), *self._nearest(*self._shared(some)))

    def _shared(self, some: Sessions) -> tuple[Counts, Counts, Counts]:
        """Every distinct item of the sessions met in training: session asked, place in training, steps back."""
        asked = owners(some)
        back = some.bounds[1:][asked] - 1 - np.arange(len(asked))
        order = np.lexsort((back, some.items, asked))
        first = np.ones(len(order), bool)
        first[1:] = (np.diff(asked[order]) != 0) | (np.diff(some.items[order]) != 0)
        kept = order[first]
        items = some.items[kept]
        counts = np.diff(self._ends, prepend=0)[items]
        counts = np.minimum(counts, int(self.settings.recent))
        return (
            np.repeat(asked[kept], counts),
            self._at[_spans(self._ends[items] - counts, counts)],
            np.repeat(back[kept], counts),
        )

    def _nearest(self, asked: Counts, at: Counts, back: Counts) -> tuple[Counts, Counts, Array]:
        """The nearest neighbours: session asked, place of the latest shared item in training, likeness."""
        weight = _decay(back, self.settings.items) * self._rarity()[self.seen.items[at]]
        neighbour = self._of[at]
        order = np.lexsort((back, neighbour, asked))
        asked, at, neighbour, weight = asked[order], at[order], neighbour[order], weight[order]
        new = np.ones(len(asked), bool)
        new[1:] = (np.diff(asked) != 0) | (np.diff(neighbour) != 0)
        starts = np.flatnonzero(new)
        likeness = np.add.reduceat(weight, starts) if len(starts) else weight
        asked, at, neighbour = asked[starts], at[starts], neighbour[starts]
        age = (len(self.seen) - 1 - neighbour) / len(self.seen)
        likeness = likeness * _decay(age, self.settings.age) / np.sqrt(lengths(self.seen)[neighbour])
        order = np.lexsort((-neighbour, -likeness, asked))
        rank = np.arange(len(order)) - np.searchsorted(asked[order], asked[order])
        kept = order[rank < self.settings.neighbours]
        return asked[kept], at[kept], likeness[kept]

    def _votes(self, rows: int, asked: Counts, at: Counts, likeness: Array) -> Floats:
        """Scores (rows, n_items): each neighbour's items, by their distance from the shared item."""
        neighbour = self._of[at]
        counts = lengths(self.seen)[neighbour]
        place = _spans(self.seen.bounds[neighbour], counts)
        ahead = place - np.repeat(at, counts)
        near = np.where(
            ahead > 0,
            _decay(np.abs(ahead) - 1, self.settings.ahead),
            _decay(np.abs(ahead), self.settings.back),
        )
        cell = np.repeat(asked, counts) * self.n_items + self.seen.items[place]
        votes = np.bincount(cell, np.repeat(likeness, counts) * near, rows * self.n_items)
        return votes.reshape(rows, self.n_items).astype(np.float32)

    def _rarity(self) -> Floats:
        met = np.maximum(np.diff(self._ends, prepend=0), 1)
        return np.asarray(np.log1p(len(self.seen) / met) ** self.settings.rare, np.float32)

    def export(self, folder: Path) -> None:
        """See Ranker."""
        arrays = {"items": self.seen.items, "bounds": self.seen.bounds, "n_items": np.array([self.n_items])}
        store.write(folder, "vsknn", asdict(self.settings), arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """See Ranker."""
        settings, arrays = store.read(folder, "vsknn")
        return cls(**settings).fit(Sessions(arrays["items"], arrays["bounds"], int(arrays["n_items"][0])))


def _decay(distance: Array, reach: float | None) -> Array:
    return np.ones(len(distance)) if reach is None else np.exp(-distance / reach)


def _spans(starts: Counts, counts: Counts) -> Counts:
    """start, start+1, …, count of them, for every start."""
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.asarray(within + np.repeat(starts, counts), np.int64)
