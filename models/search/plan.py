"""How to search, and what a search that cannot go on says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Method = Literal["tpe", "random", "grid"]
Pruner = Literal["median", "hyperband", "none"]
METHODS: tuple[Method, ...] = ("tpe", "random", "grid")
PRUNERS: tuple[Pruner, ...] = ("median", "hyperband", "none")


class SearchProblem(Exception):
    """A search that cannot go on; the message says what to do."""


@dataclass(frozen=True)
class Plan:
    """How to search. trials: most in the whole study (a grid has all its points); minutes: of this call, None = no bound."""

    method: Method = "tpe"
    pruner: Pruner = "median"
    trials: int = 50
    minutes: float | None = None
    seed: int = 0
