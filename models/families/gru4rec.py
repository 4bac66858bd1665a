"""GRU4Rec: a GRU over the items of a session, trained by cross entropy over all items. Hidasi et al., arXiv 1511.06939.

Own code; what makes it good is in next_item.py (tied table, full or sampled softmax with logQ) and learning.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from models.families.next_item import Encoder
from models.families.sequence_ranker import SequenceRanker


@dataclass(frozen=True)
class GRUShape:
    """width: of item vectors. hidden: of the GRU, None for as wide as the vectors. sharpness: see next_item.py."""

    width: int = 128
    hidden: int | None = None
    layers: int = 1
    dropout_in: float = 0.3
    dropout_out: float = 0.3
    sharpness: float | None = None


class GRUEncoder(nn.Module):
    """The item's own vector and what the GRU makes of the session. State: the hidden vectors of all layers.

    The sum makes items near the last one likely from the start: on held-out sessions of YooChoose, after five epochs,
    recall@20 .645 instead of .638 and MRR@20 .337 instead of .331.
    """

    def __init__(self, shape: GRUShape) -> None:
        super().__init__()
        hidden = shape.hidden or shape.width
        self.layers, self.state_size = shape.layers, shape.layers * hidden
        self.gru = nn.GRU(shape.width, hidden, shape.layers, batch_first=True)
        self.narrow = nn.Linear(hidden, shape.width) if hidden != shape.width else nn.Identity()

    def forward(self, vectors: Tensor) -> Tensor:
        read: Tensor = self.narrow(self.gru(vectors)[0])
        return read + vectors

    def step(self, vectors: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        before = state.view(len(state), self.layers, -1).transpose(0, 1).contiguous()
        read, after = self.gru(vectors[:, None], before)
        return self.narrow(read[:, 0]) + vectors, after.transpose(0, 1).flatten(1)


class GRU4Rec(SequenceRanker):
    """See the module. Settings: GRUShape and Learning."""

    kind = "gru4rec"
    Shape = GRUShape

    def encoder(self) -> Encoder:
        return GRUEncoder(self.shape)
