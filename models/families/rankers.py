"""The rankers by name: made from settings, or loaded from a folder that says what it holds."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from models.families import store
from models.families.interface import Ranker

CLASSES = {
    "popularity": "Popularity",
    "markov": "Markov",
    "vsknn": "VSKNN",
    "gru4rec": "GRU4Rec",
    "sasrec": "SASRec",
    "blend": "Blend",
}


def family(name: str) -> type[Ranker]:
    """The class of a family; only its own libraries are imported. Raises ValueError for another name."""
    if name not in CLASSES:
        raise ValueError(f"family: {name!r} is no ranker; want one of {', '.join(CLASSES)}")
    return cast(type[Ranker], getattr(importlib.import_module(f"models.families.{name}"), CLASSES[name]))


def ranker(settings: Mapping[str, Any]) -> Ranker:
    """An unfitted one from {family: name, its settings…}, as parameter files have it."""
    given = dict(settings)
    return family(given.pop("family"))(**given)


def load(folder: Path) -> Ranker:
    """The one that any family's `export` wrote."""
    return family(store.kind_of(folder)).load(folder)
