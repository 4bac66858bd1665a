"""What GRU4Rec and SASRec share as rankers: fit, predict, step, export around a NextItem network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch

from models.families import store
from models.families.interface import Array, Floats, Sessions
from models.families.learning import Learning, learn
from models.families.next_item import Encoder, NextItem
from models.families.sessions import BATCH, check_items, checked, lengths, questions
from models.ranking_metrics import places


class SequenceRanker:
    """A SteppingRanker. A family names itself, its shape (a dataclass of settings) and its encoder."""

    logits = True
    kind: ClassVar[str]
    Shape: ClassVar[type[Any]]

    def __init__(self, **settings: Any) -> None:
        """settings: those of the family's Shape and of Learning. Raises ValueError for another."""
        of_learning = {one.name for one in fields(Learning)}
        of_shape = {one.name for one in fields(self.Shape)}
        unknown = sorted(set(settings) - of_learning - of_shape)
        if unknown:
            raise ValueError(
                f"{self.kind}: no setting {unknown[0]!r}; want {', '.join(sorted(of_learning | of_shape))}"
            )
        self.learning = Learning(**{name: value for name, value in settings.items() if name in of_learning})
        self.shape = self.Shape(**{name: value for name, value in settings.items() if name in of_shape})
        self.n_items = 0
        self.speed: dict[str, float] = {}

    @property
    def state_size(self) -> int:
        return self.network.encoder.state_size

    def encoder(self) -> Encoder:
        """A fresh one of this shape."""
        raise NotImplementedError

    def fit(self, sessions: Sessions, seed: int = 0) -> Self:
        """See Ranker. Raises ValueError as `checked` and `learn` do."""
        checked(sessions)
        torch.manual_seed(seed)
        self._make(sessions.n_items)
        speed = learn(self.network, sessions, self.learning, seed, self._score)
        self.speed = {
            "train_events_per_s": speed.events_per_s,
            "loader_share": speed.loader_share,
            "epochs": speed.epochs,
        }
        return self

    def _make(self, n_items: int) -> None:
        self.n_items = n_items
        shape = self.shape
        self.network = NextItem(
            n_items, shape.width, self.encoder(), (shape.dropout_in, shape.dropout_out), shape.sharpness
        )
        self.network.eval()

    def _score(self, held: Sessions) -> float:
        asked, targets = questions(held)
        return places(self.predict(asked), targets).reciprocal_rank(20)

    @torch.inference_mode()
    def predict(self, sessions: Sessions) -> Iterator[Floats]:
        """See Ranker."""
        checked(sessions, self.n_items)
        self.network.eval()
        outputs = torch.empty(len(sessions), self.shape.width)
        order = np.argsort(lengths(sessions), kind="stable")
        for rows in np.array_split(order, -(-len(order) // BATCH)):
            sizes = lengths(sessions)[rows]
            at = np.minimum(np.arange(sizes.max()), sizes[:, None] - 1) + sessions.bounds[:-1][rows][:, None]
            items = torch.from_numpy(sessions.items[at].astype(np.int64))
            read = self.network.outputs(items)
            outputs[torch.from_numpy(rows)] = read[torch.arange(len(rows)), torch.from_numpy(sizes - 1)]
        for start in range(0, len(sessions), BATCH):
            yield self.network.scores(outputs[start : start + BATCH]).numpy()

    @torch.inference_mode()
    def step(self, items: Array, state: Floats) -> tuple[Floats, Floats]:
        """See SteppingRanker. Raises ValueError for an unknown item or a state of another shape."""
        check_items(items, self.n_items)
        if state.shape != (len(items), self.state_size):
            raise ValueError(
                f"state: shape {state.shape}; want ({len(items)}, {self.state_size}), zeros at first"
            )
        output, after = self.network.step(
            torch.from_numpy(np.asarray(items, np.int64)), torch.from_numpy(state)
        )
        return self.network.scores(output).numpy(), after.numpy()

    def export(self, folder: Path) -> None:
        """See Ranker."""
        arrays = {name: value.numpy() for name, value in self.network.state_dict().items()}
        store.write(folder, self.kind, asdict(self.learning) | asdict(self.shape), arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """See Ranker."""
        settings, arrays = store.read(folder, cls.kind)
        made = cls(**settings)
        made._make(len(arrays["vectors.weight"]))
        made.network.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
        return made
