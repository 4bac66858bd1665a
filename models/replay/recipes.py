"""Recipes as files: what `replay search` writes and `replay train --recipe FILE` takes. YAML, names as in the dataclasses.

    rate: 0.002
    lanes: 32
    architecture:
      sizes: [64, 64]

What a file leaves out keeps its default. Nested names may be written with a dot, too: `architecture.dropout: 0.2`, and
lists as text: `architecture.sizes: 64, 64`.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from models.tasks import expanded

if TYPE_CHECKING:
    from models.replay.train import Recipe

# Lowest and highest of each number, by name; the others are taken as they are.
BOUNDS: dict[str, tuple[float, float]] = {
    "categories": (1, 100_000),
    "items": (0, 1_000_000),
    "epochs": (1, 1000),
    "lanes": (1, 65_536),
    "rounds": (1, 100_000),
    "rate": (1e-7, 1),
    "clip": (1e-6, 1e6),
    "decay": (0, 1),
    "average": (0, 0.99999),
    "item_dropout": (0, 1),
    "unfinished": (0, 1),
    "lapse_weight": (0, 1000),
    "category_weight": (0, 1000),
    "held_out": (0.01, 0.5),
    "patience": (1, 1000),
    "threads": (1, 256),
    "architecture.sizes": (1, 8192),
    "architecture.kernel": (2, 64),
    "architecture.window": (1, 4096),
    "architecture.attention_heads": (1, 64),
    "architecture.recall": (0, 1024),
    "architecture.item": (1, 1024),
    "architecture.category": (1, 1024),
    "architecture.type": (1, 256),
    "architecture.device": (1, 256),
    "architecture.head": (1, 8192),
    "architecture.memory": (1, 8192),
    "architecture.memory_rate": (1e-6, 1),
    "architecture.dropout": (0, 0.95),
    "features.item_buckets": (2, 1 << 24),
    "features.category_buckets": (2, 1 << 24),
    "features.session_gap_s": (1, 1e7),
}
_FIXED = ("features.version",)  # follows from the code


class RecipeProblem(ValueError):
    """A recipe that cannot be used; the message names file, field, value and mend."""


def values(recipe: Recipe) -> dict[str, Any]:
    """Every field by its dotted name."""
    return {name: value for name, value in flat(asdict(recipe)).items() if name not in _FIXED}


def flat(found: Mapping[Any, Any], path: str = "") -> dict[str, Any]:
    """Nested mappings as one, names joined by dots."""
    result: dict[str, Any] = {}
    for name, value in found.items():
        if isinstance(value, Mapping):
            result |= flat(value, f"{path}{name}.")
        else:
            result[f"{path}{name}"] = value
    return result


def changed(recipe: Recipe, changes: Mapping[str, Any], where: str) -> Recipe:
    """The recipe with fields set by dotted name. where: begin of a message, a file's name. Raises RecipeProblem."""
    known = values(recipe)
    groups: dict[str, dict[str, Any]] = {}
    for name, value in changes.items():
        outer, _, inner = name.rpartition(".")
        groups.setdefault(outer, {})[inner] = check(name, value, known, where)
    try:
        for group, fields in groups.items():  # together: a trunk and its sizes must fit each other
            inside = {group: replace(getattr(recipe, group), **fields)} if group else fields
            recipe = replace(recipe, **inside)
        expanded(recipe.tasks)
    except ValueError as problem:
        raise RecipeProblem(f"{where}: {problem}") from None
    return recipe


def check(name: str, value: Any, known: Mapping[str, Any], where: str) -> Any:
    """The value as the field's type; known: all fields with a value of theirs. Raises RecipeProblem."""
    if name not in known:
        near = difflib.get_close_matches(name, known, 3, 0.5)
        raise RecipeProblem(
            f"{where}: {name} is no field of a recipe; "
            f"{'did you mean ' + ' or '.join(near) if near else 'known are ' + ', '.join(known)}?"
        )
    kind = type(known[name])
    if kind is tuple:
        return _several(name, value, known, where)
    if kind is float and isinstance(value, int | str) and not isinstance(value, bool):
        with contextlib.suppress(ValueError):
            value = float(value)  # YAML reads 2e-3, without a point, as text
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise RecipeProblem(
            f"{where}: {name} is {value!r}; want {'a whole number' if kind is int else f'a {kind.__name__}'}"
        )
    low, high = BOUNDS.get(name, (None, None))
    if low is not None and high is not None and not low <= value <= high:
        raise RecipeProblem(f"{where}: {name} is {value!r}; want {low:g} to {high:g}")
    return value


def _several(name: str, value: Any, known: Mapping[str, Any], where: str) -> tuple[Any, ...]:
    """A list, or text with commas, as the field's tuple; each value checked as one of the field."""
    kind = type(known[name][0])
    given = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(given, list | tuple) or not given:
        raise RecipeProblem(f"{where}: {name} is {value!r}; want a list such as {list(known[name])}")
    found = []
    for one in given:
        whole = isinstance(one, str) and one.isdigit() and kind is int
        found.append(check(name, int(one) if whole else one, {name: known[name][0]}, where))
    return tuple(found)


def text_of(value: Any) -> Any:
    """A field's value as a scalar: a tuple as text, which `check` reads again."""
    return ", ".join(map(str, value)) if isinstance(value, tuple) else value


def read(path: str | Path) -> Recipe:
    """The recipe in a file. Raises RecipeProblem."""
    from models.replay.train import Recipe

    return changed(Recipe(), flat(load(path)), str(path))


def load(path: str | Path) -> dict[Any, Any]:
    """The mapping in a YAML file. Raises RecipeProblem."""
    try:
        found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as problem:
        raise RecipeProblem(f"{path}: {problem.strerror}; name a readable YAML file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        raise RecipeProblem(f"{path} is not YAML: {' '.join(str(problem).split())}") from None
    if not isinstance(found, dict) or not found:
        raise RecipeProblem(f"{path} holds no fields; want lines of the form `rate: 0.002`")
    return found


def text(recipe: Recipe, note: str) -> str:
    """The file of a recipe, every field in it; note: a comment on top."""
    found = _lists(asdict(recipe))
    for name in _FIXED:
        outer, _, inner = name.partition(".")
        del found[outer][inner]
    return f"# {note}\n" + yaml.safe_dump(found, sort_keys=False)


def _lists(found: dict[str, Any]) -> dict[str, Any]:
    """Tuples as lists, which YAML knows."""
    plain = {}
    for name, value in found.items():
        plain[name] = (
            _lists(value) if isinstance(value, dict) else list(value) if isinstance(value, tuple) else value
        )
    return plain
