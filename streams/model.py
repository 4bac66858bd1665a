"""A release as the live path holds it."""

from __future__ import annotations

from typing import NamedTuple

from models import item_head
from models.engine import Engine
from models.release import Card, Release
from streams.lookups import Shelves


class Model(NamedTuple):
    """A release in use."""

    engine: Engine
    card: Card
    shelves: Shelves | None = None  # of its next-item head, where it has one

    @classmethod
    def of(cls, engine: Engine, release: Release) -> Model:
        """ReleaseProblem when the release's next-item head is damaged."""
        head = item_head.load(release)
        return cls(engine, release.card, None if head is None else Shelves(head))
