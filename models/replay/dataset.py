"""The training set: every shopper's events in the order of the log, their features, and what came after each of them.

batches of usable events ─► Sequences (grouped by shopper) ─► features, by the live path's featurizer
                                                          └─► Labels, each known only from what came later

Nothing in a row's features comes from after it; nothing in a label comes from after the interval's end.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from models.context import CONTEXT, context_within
from models.events import TYPE_CODE, hash_strings, pack
from models.featurizer import Features, FeatureSpec, featurize
from models.replay.doubles import live_rows, not_erased
from models.replay.history import Purchases
from models.replay.source import Batch, SourceProblem

Array = npt.NDArray[Any]

PURCHASE = TYPE_CODE["purchase"]
EXPOSED = TYPE_CODE["intervention_exposed"]
REDEEMED = TYPE_CODE["coupon_redeem"]


@dataclass(frozen=True)
class Sequences:
    """N events of U shoppers, a shopper's together and in the order of the log; shoppers by first appearance.

    users: utf8 (U,). bounds: int64 (U+1,), the shoppers' rows. events: EVENT (N,). campaign: int32 (N,), position in
    `campaigns`, -1 = none. event_ids: utf8 (N,), and place: int64 (N,), partition << 48 | offset, if asked for.
    item_names, category_names: names by hash.
    """

    users: pa.Array
    bounds: Array
    events: Array
    campaign: Array
    campaigns: tuple[str, ...]
    item_names: dict[int, str]
    category_names: dict[int, str]
    dropped: Counter[str]
    event_ids: pa.Array | None = None
    place: Array | None = None

    def __len__(self) -> int:
        return len(self.events)

    @cached_property
    def shopper(self) -> Array:
        """int64 (N,), the shopper of each row."""
        return np.repeat(np.arange(len(self.users)), np.diff(self.bounds))

    @cached_property
    def last(self) -> npt.NDArray[np.bool_]:
        """(N,) whether no other event of the shopper follows at the same moment: where a basket is complete."""
        last = np.ones(len(self), bool)
        same = (self.shopper[1:] == self.shopper[:-1]) & (self.events["time"][1:] == self.events["time"][:-1])
        last[:-1] = ~same
        return last

    @cached_property
    def purchases(self) -> Purchases:
        bought = self.events["type"] == PURCHASE
        return Purchases(len(self.users), self.shopper[bought], self.events["time"][bought])

    def features(self, spec: FeatureSpec, rows: slice = slice(None)) -> Features:
        """Model inputs of all rows, or of `rows`, which must hold whole shoppers; from each one's first event on."""
        start = np.zeros(len(self.users), CONTEXT)
        events = self.events[rows]
        return featurize(events, context_within(self.shopper[rows], events, start, spec), spec)

    def share(self, part: float, seed: int) -> "Sequences":
        """The events of a random share of the shoppers."""
        chosen = np.random.default_rng(seed).random(len(self.users)) < part
        if not chosen.any():
            raise SourceProblem(
                f"a share of {part:g} of {len(self.users)} shoppers is nobody: take a larger one"
            )
        return self.only(chosen)

    def only(self, chosen: Array) -> "Sequences":
        """The events of the shoppers chosen, bool (U,)."""
        bounds = np.concatenate([[0], np.cumsum(np.diff(self.bounds)[chosen])])
        rows = np.flatnonzero(chosen[self.shopper])
        return replace(self._rows(rows), users=self.users.filter(pa.array(chosen)), bounds=bounds)

    def before(self, moment: int) -> "Sequences":
        """The events with times before `moment` (ms); shoppers who have none stay, empty."""
        early = self.events["time"] < moment
        bounds = np.concatenate([[0], np.cumsum(early)])[self.bounds]
        return replace(self._rows(np.flatnonzero(early)), bounds=bounds)

    def until(self, stops: Array) -> "Sequences":
        """Each shopper's rows before `stops` (U,), positions within `bounds`: the log as it once was."""
        rows = np.flatnonzero(np.arange(len(self)) < stops[self.shopper])
        bounds = np.concatenate([[0], np.cumsum(stops - self.bounds[:-1])])
        return replace(self._rows(rows), bounds=bounds)

    def _rows(self, rows: Array) -> "Sequences":
        ids = None if self.event_ids is None else self.event_ids.take(pa.array(rows))
        place = None if self.place is None else self.place[rows]
        return replace(
            self, events=self.events[rows], campaign=self.campaign[rows], event_ids=ids, place=place
        )


@dataclass
class _Columns:
    """Columns of the batches so far; a name is kept once, by its hash."""

    events: list[Array] = field(default_factory=list)
    users: list[pa.Array] = field(default_factory=list)
    ids: list[Array] = field(default_factory=list)
    texts: list[pa.Array] = field(default_factory=list)
    place: list[Array] = field(default_factory=list)  # partition << 48 | offset
    campaign: list[Array] = field(default_factory=list)
    campaigns: dict[str, int] = field(default_factory=dict)
    items: dict[int, str] = field(default_factory=dict)
    categories: dict[int, str] = field(default_factory=dict)

    def add(self, batch: Batch, keep_ids: bool) -> None:
        events = pack(batch.events)
        self.events.append(events)
        self.users.append(batch.events.column("user_id"))
        self.ids.append(hash_strings(batch.events.column("event_id")))
        if keep_ids:
            self.texts.append(batch.events.column("event_id"))
        self.place.append((batch.partition.astype(np.int64) << 48) | batch.offset)
        self.campaign.append(self._campaign(batch.events, events["type"]))
        _name(self.items, events["item"], batch.events.column("item_id"))
        _name(self.categories, events["category"], batch.events.column("category_id"))

    def _campaign(self, events: pa.RecordBatch, types: Array) -> Array:
        """Position in `campaigns` (N,) of the campaign that an exposure or a redemption names."""
        found = np.full(len(types), -1, np.int32)
        for row in np.flatnonzero((types == EXPOSED) | (types == REDEEMED)).tolist():
            name = dict(events.column("properties")[row].as_py() or ()).get("campaign_id")
            if name is not None:
                found[row] = self.campaigns.setdefault(name, len(self.campaigns))
        return found


def build(
    batches: Iterable[Batch], ring_events: int, dropped: Counter[str], keep_ids: bool = False
) -> Sequences:
    """Groups usable events by shopper. Doubles and hopelessly late events go, as in the live path, and are counted.

    ring_events: events a live row remembers (setting). Raises SourceProblem when nothing is left.
    """
    columns = _Columns()
    for batch in batches:
        columns.add(batch, keep_ids)
    if not columns.events:
        raise SourceProblem(
            f"no usable event in the interval (set aside: {dict(dropped) or 'none'}): choose another"
        )
    users = pa.chunked_array(columns.users).dictionary_encode().combine_chunks()
    names, shopper = users.dictionary, users.indices.to_numpy().astype(np.int64)
    place = np.concatenate(columns.place)
    order = np.lexsort((place, shopper))
    events, ids = np.concatenate(columns.events)[order], np.concatenate(columns.ids)[order]
    shopper = shopper[order]
    known = not_erased(shopper, events["type"], dropped)
    order, shopper, events, ids = order[known], shopper[known], events[known], ids[known]
    kept = live_rows(shopper, ids, events["time"], ring_events, dropped)
    rows = order[kept]
    texts = pa.chunked_array(columns.texts).take(pa.array(rows)).combine_chunks() if keep_ids else None
    return Sequences(
        users=names,
        bounds=np.searchsorted(shopper[kept], np.arange(len(names) + 1)),
        events=events[kept],
        campaign=np.concatenate(columns.campaign)[rows],
        campaigns=tuple(columns.campaigns),
        item_names=columns.items,
        category_names=columns.categories,
        dropped=dropped,
        event_ids=texts,
        place=place[rows] if keep_ids else None,
    )


def _name(names: dict[int, str], hashes: Array, texts: pa.Array) -> None:
    """Adds the names of hashes not seen before."""
    found, rows = np.unique(hashes, return_index=True)
    fresh = [
        (code, row)
        for code, row in zip(found.tolist(), rows.tolist(), strict=True)
        if code and code not in names
    ]
    if fresh:
        words = pc.take(texts, pa.array([row for _, row in fresh])).to_pylist()
        names.update(zip((code for code, _ in fresh), words, strict=True))
