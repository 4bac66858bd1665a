"""How a ranker lies in a folder: arrays.safetensors and model.json, which names the family and its settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from models.families.interface import Array


def write(folder: Path, kind: str, settings: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Makes the folder when it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: np.ascontiguousarray(value) for name, value in arrays.items()}, folder / "arrays.safetensors"
    )
    text = json.dumps({"kind": kind, "settings": dict(settings)}, indent=1)
    (folder / "model.json").write_text(text + "\n", encoding="utf-8")


def read(folder: Path, kind: str) -> tuple[dict[str, Any], dict[str, Array]]:
    """Settings and arrays. Raises ValueError when the folder holds no model, or one of another kind."""
    stored, settings = _described(folder)
    if stored != kind:
        raise ValueError(f"{folder} holds a {stored}, not a {kind}; load it with its own class")
    try:
        return settings, load_file(folder / "arrays.safetensors")
    except Exception as problem:  # safetensors has an error of its own for a damaged file
        raise ValueError(f"{folder}/arrays.safetensors cannot be read ({problem}); export it again") from None


def kind_of(folder: Path) -> str:
    """The family. Raises ValueError when the folder holds no model."""
    return _described(folder)[0]


def _described(folder: Path) -> tuple[str, dict[str, Any]]:
    try:
        found = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        return str(found["kind"]), dict(found["settings"])
    except (OSError, KeyError, TypeError, ValueError) as problem:
        raise ValueError(f"{folder} holds no model ({problem}); export it again") from None
