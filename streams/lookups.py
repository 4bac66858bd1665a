"""The items that lists are made of: looked up in the release's next-item head, for a batch's few events at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from models.item_head import ItemHead, Next
from streams.catalogue import Catalogue
from streams.compiled import CompiledPolicy
from streams.policy import Campaign, RerankCampaign, RerankPayload

Array = npt.NDArray[Any]
Wanting = tuple[Campaign, float, float]  # campaign, score, expected value


class History(Protocol):
    """What shoppers did lately."""

    def __getitem__(self, row: int) -> Array:
        """EVENT (R,), oldest first, up to and with the event at this row of a scored batch."""


class Shelves:
    """A release's head, and which of its items a catalogue lets lists show, worked out once per catalogue."""

    def __init__(self, head: ItemHead) -> None:
        self.head = head
        self._catalogue: Catalogue | None = None
        self._allowed: npt.NDArray[np.bool_] | None = None

    def allowed(self, catalogue: Catalogue | None) -> npt.NDArray[np.bool_] | None:
        """bool (V,), None: all."""
        if catalogue is not self._catalogue:
            self._catalogue = catalogue
            self._allowed = (
                None if catalogue is None else np.array([item in catalogue.items for item in self.head.items])
            )
        return self._allowed


@dataclass(slots=True)
class LookUps:
    """What a scored batch of N events can be asked for. trunk float32 (N, T); history: set before `items` is called."""

    shelves: Shelves
    trunk: npt.NDArray[np.float32]
    history: History | None = None

    def between(self, first: int, stop: int) -> LookUps:
        """Of the events from `first` to before `stop`, of which there is no history yet."""
        return LookUps(self.shelves, self.trunk[first:stop])

    def items(self, rows: Sequence[int], count: int, catalogue: Catalogue | None) -> list[Sequence[Next]]:
        """For each of these rows the `count` likeliest next items that may be shown, best first."""
        assert self.history is not None
        recent = [self.history[row] for row in rows]
        return self.shelves.head.best(self.trunk[list(rows)], recent, count, self.shelves.allowed(catalogue))


def looked_up(
    look_ups: LookUps | None, wanting: Mapping[int, list[Wanting]], policy: CompiledPolicy
) -> dict[int, Sequence[Next]]:
    """Items by row, of those rows that a campaign wants for a list of next items; all in one look-up."""
    if look_ups is None:
        return {}
    asked: dict[int, int] = {}
    for row, group in wanting.items():
        count = max(considered(campaign, policy) for campaign, _, _ in group)
        if count:
            asked[row] = count
    if not asked:
        return {}
    found = look_ups.items(list(asked), max(asked.values()), policy.catalogue)
    return dict(zip(asked, found, strict=True))


def considered(campaign: Campaign, policy: CompiledPolicy) -> int:
    """How many items its list chooses from at most, in any arm; 0: it asks for none."""
    if not isinstance(campaign, RerankCampaign):
        return 0
    payloads = [variant.campaign.payload for variant in policy.variants[campaign.id]]
    return max(
        one.chosen_from if isinstance(one, RerankPayload) and one.candidates == "next_item" else 0
        for one in payloads
    )
