"""How an event's item and category were seen before: among the last events of the shopper, how often and how lately.

Looking at the same thing again is what buyers do, and no embedding of this size tells one item from another. So the ids
of the last `architecture.recall` events are carried with the state: exact as far back as they reach. Torch here, ONNX in
engine_onnx.py.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.architecture import RECALL_CODES, Architecture, lateness


class Recall:
    """What is carried are codes of items, then of categories, oldest first, 0 = none; then how many of these events belong
    to the moment of the newest."""

    def __init__(self, architecture: Architecture) -> None:
        self._reach = architecture.recall
        self._lateness = torch.from_numpy(lateness(architecture.recall))

    def __call__(self, block: Tensor, going_on: Tensor, carried: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """block int (T, B, 2), ids of item and category; going_on bool (T, B), whether the moment of the event before goes
        on; carried (B, 2 * recall + 1) -> seen (T, B, 4), again (T, B), carried.

        seen: log(1 + times) of the item, 2^(-age / RECALL_HALVES) of its latest time (0 = never; the event before has age
        1), and the same of the category. again: 1 where the category was seen in this moment before, else 0.
        """
        steps, size, _ = block.shape
        codes = torch.where(block > 0, (block - 1) % RECALL_CODES + 1, 0).float()
        before, count = carried[:, :-1], carried[:, -1]
        before = before.view(size, 2, self._reach).permute(2, 0, 1)
        line = torch.cat([before, codes])  # (recall + T, B, 2)
        windows = line[:-1].unfold(0, self._reach, 1)  # (T, B, 2, recall): the events before each
        same = ((windows == codes[..., None]) & (codes[..., None] > 0)).float()
        lately = (same * self._lateness.to(same.device)).amax(3)
        seen = torch.stack([same.sum(3).log1p(), lately], 3).flatten(2)
        counts = []
        for goes_on in going_on.float():
            count = (goes_on * (count + 1)).clamp(max=self._reach)
            counts.append(count)
        ages = torch.arange(self._reach, 0, -1, device=same.device)
        again = (same[:, :, 1] * (ages <= torch.stack(counts)[..., None])).amax(2)
        return seen, again, torch.cat([line[steps:].permute(1, 2, 0).flatten(1), count[:, None]], 1)
