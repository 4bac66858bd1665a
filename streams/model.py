"""A release as the live path holds it."""

from __future__ import annotations

from typing import NamedTuple

from models.engine import Engine
from models.release import Card


class Model(NamedTuple):
    """A release in use."""

    engine: Engine
    card: Card
