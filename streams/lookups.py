"""The items that lists are made of: looked up in the release's next-item head, for a batch's few events at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from models.item_head import ItemHead, Next
from streams.catalogue import Catalogue
from streams.policy import Campaign, RerankCampaign

Array = npt.NDArray[Any]


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
    """What a scored batch of N events can be asked for. trunk float32 (N, T)."""

    shelves: Shelves
    trunk: npt.NDArray[np.float32]
    history: History

    def between(self, first: int, stop: int, history: History) -> LookUps:
        """Of the events from `first` to before `stop`, whose history this is."""
        return LookUps(self.shelves, self.trunk[first:stop], history)

    def items(self, rows: Sequence[int], count: int, catalogue: Catalogue | None) -> list[list[Next]]:
        """For each of these rows the `count` likeliest next items that may be shown, best first."""
        recent = [self.history[row] for row in rows]
        return self.shelves.head.best(self.trunk[rows], recent, count, self.shelves.allowed(catalogue))


def considered(campaigns: Sequence[Campaign]) -> int:
    """How many items the campaigns' lists choose from at most, in any arm; 0: none asks for next items."""
    payloads = []
    for campaign in campaigns:
        if isinstance(campaign, RerankCampaign):
            payloads.append(campaign.payload)
            for arm in campaign.experiment.arms if campaign.experiment else ():
                payloads.append(campaign.in_arm(arm.payload, arm.name).payload)
    return max((one.considered for one in payloads if one.candidates == "next_item"), default=0)
