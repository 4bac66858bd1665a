"""The models of tables by kind: made from a parameter file, and read from a folder without knowing what was exported."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.families import table
from models.families.interface import TableModel

KINDS = {
    "logistic": "models.families.logistic:Logistic",
    "svm": "models.families.svm:Svm",
    "ridge": "models.families.ridge:Ridge",
    "boosting": "models.families.boosting:Boosting",
    "dnn": "models.families.dnn:Dnn",
    "averaged": "models.families.ensemble:Averaged",
    "stacked": "models.families.ensemble:Stacked",
    "calibrated": "models.families.calibrated:Calibrated",
    "parted": "models.families.parted:Parted",
}


def make(given: Mapping[str, Any]) -> TableModel:
    """A model from {kind: …, settings…}; members of an ensemble are given likewise.

    Raises ValueError that names the kind or the setting that is not known, and those that are.
    """
    settings = dict(given)
    of = _class(settings.pop("kind", None))
    for name, value in settings.items():
        if name in ("model", "final", "above", "below"):
            settings[name] = make(value)
        elif name == "models":
            settings[name] = [make(one) for one in value]
        elif isinstance(value, list):
            settings[name] = tuple(value)
    known = table.setting_names(of)
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ValueError(f"{given['kind']}: no setting {unknown[0]}; it has {', '.join(known)}")
    made: TableModel = of(**settings)
    return made


def load(folder: Path) -> TableModel:
    """The model that any of the kinds exported. Raises ValueError when there is none."""
    card, _ = table.read(folder)
    made: TableModel = _class(card.get("kind")).load(folder)
    return made


def _class(kind: Any) -> Any:
    if kind not in KINDS:
        raise ValueError(f"kind: {kind} is none of {', '.join(KINDS)}")
    module, _, name = KINDS[kind].partition(":")
    return getattr(importlib.import_module(module), name)
