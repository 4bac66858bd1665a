"""The search space: which fields of a recipe are tried, and with which values. From a YAML file:

    rate: {low: 5.0e-4, high: 1.0e-2, log: true}
    lanes: [16, 32, 64]
    architecture:
      dropout: {low: 0.0, high: 0.5}
      sizes: [[64, 64], [128, 64]]

A list is a choice, a mapping with low and high is a range. Fields are those of `replay.train.Recipe`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.replay import recipes

MOST_POINTS = 10_000  # of a grid
_KEYS = ("low", "high", "log", "step")
# With another of these the held-out loss measures something else, and trials could not be compared.
_UNCOMPARABLE = ("categories", "items", "held_out", "lapse_weight", "category_weight")


class SpaceProblem(ValueError):
    """A search space that cannot be searched; the message names file, field, value and mend."""


@dataclass(frozen=True)
class Choice:
    values: tuple[Any, ...]

    def suggest(self, name: str, trial: Any) -> Any:
        return trial.suggest_categorical(name, list(self.values))

    def holds(self, value: Any) -> bool:
        return value in self.values

    def points(self, name: str) -> tuple[Any, ...]:
        return self.values


@dataclass(frozen=True)
class Range:
    """low … high, both included. step: None = any number between."""

    low: float
    high: float
    log: bool
    step: float | None
    whole: bool

    def suggest(self, name: str, trial: Any) -> Any:
        if self.whole:
            return trial.suggest_int(
                name, int(self.low), int(self.high), step=int(self.step or 1), log=self.log
            )
        return trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)

    def holds(self, value: Any) -> bool:
        if not self.low <= value <= self.high:
            return False
        steps = (value - self.low) / self.step if self.step else 0.0
        return math.isclose(steps, round(steps), abs_tol=1e-9)

    def points(self, name: str) -> tuple[Any, ...]:
        """Every step; of whole numbers every one unless a step is given. Raises SpaceProblem for a range without."""
        step = self.step or (1 if self.whole else None)
        if step is None:
            raise SpaceProblem(f"{name}: a grid needs a `step` or a list of values, not a continuous range")
        count = int((self.high - self.low) / step + 1e-9) + 1
        found = [self.low + at * step for at in range(count)]
        return tuple(int(one) if self.whole else one for one in found)


@dataclass(frozen=True)
class Space:
    """Dimensions by the dotted name of the recipe's field."""

    dimensions: Mapping[str, Choice | Range]

    def suggest(self, trial: Any) -> dict[str, Any]:
        """A point, as an Optuna trial chooses it."""
        return {name: dimension.suggest(name, trial) for name, dimension in self.dimensions.items()}

    def holds(self, values: Mapping[str, Any]) -> bool:
        return all(dimension.holds(values[name]) for name, dimension in self.dimensions.items())

    def grid(self) -> list[dict[str, Any]]:
        """Every point. Raises SpaceProblem for continuous ranges, or too many points."""
        axes = [dimension.points(name) for name, dimension in self.dimensions.items()]
        count = math.prod(map(len, axes))
        if count > MOST_POINTS:
            raise SpaceProblem(f"the grid has {count:,} points, more than {MOST_POINTS:,}: take larger steps")
        return [dict(zip(self.dimensions, point, strict=True)) for point in itertools.product(*axes)]

    def __str__(self) -> str:
        return ", ".join(f"{name} {dimension}" for name, dimension in sorted(self.dimensions.items()))


def read(path: str | Path) -> Space:
    """The space in a file. Raises SpaceProblem or RecipeProblem."""
    return parse(recipes.load(path), str(path))


def parse(found: Mapping[str, Any], where: str) -> Space:
    """The space of a mapping as in a file. Raises SpaceProblem or RecipeProblem."""
    from models.replay.train import Recipe

    known = recipes.values(Recipe())
    given = _leaves(found)
    return Space({name: _dimension(name, value, known, where) for name, value in given.items()})


def _leaves(found: Mapping[Any, Any], path: str = "") -> dict[str, Any]:
    """Nested groups of a recipe as dotted names; a mapping of a range's keys is a value, not a group."""
    result: dict[str, Any] = {}
    for name, value in found.items():
        group = isinstance(value, Mapping) and name in ("architecture", "features") and not path
        result |= _leaves(value, f"{name}.") if group else {f"{path}{name}": value}
    return result


def _dimension(name: str, given: Any, known: Mapping[str, Any], where: str) -> Choice | Range:
    if name in _UNCOMPARABLE:
        raise SpaceProblem(
            f"{where}: {name} changes what the held-out loss measures, so that trials could not be compared; "
            "set it in the recipe that the search starts from (--recipe)"
        )
    if isinstance(given, list):
        if not given:
            raise SpaceProblem(f"{where}: {name} has an empty list; name at least one value")
        return Choice(tuple(recipes.text_of(recipes.check(name, value, known, where)) for value in given))
    if not isinstance(given, Mapping):
        raise SpaceProblem(
            f"{where}: {name} is {given!r}; want a list of values or {{low: …, high: …}} "
            "(one fixed value belongs into the recipe that the search starts from, --recipe)"
        )
    return _range(name, given, known, where)


def _range(name: str, given: Mapping[str, Any], known: Mapping[str, Any], where: str) -> Range:
    unknown = [str(key) for key in given if key not in _KEYS]
    missing = [key for key in ("low", "high") if key not in given]
    if unknown or missing:
        what = f"unknown {unknown[0]}" if unknown else f"no {missing[0]}"
        raise SpaceProblem(f"{where}: {name} has {what}; a range has low, high, and log or step if wanted")
    low, high = (recipes.check(name, given[key], known, where) for key in ("low", "high"))
    if isinstance(low, bool | str | tuple):
        raise SpaceProblem(f"{where}: {name} has no numbers to range over; want a list of values")
    log, step, whole = given.get("log", False), given.get("step"), isinstance(known[name], int)
    if not low < high:
        raise SpaceProblem(
            f"{where}: {name} ranges from {low!r} to {high!r}, which is empty; set low below high"
        )
    if log not in (True, False):
        raise SpaceProblem(f"{where}: {name} has log: {log!r}; want true or false")
    if log and (low <= 0 or step is not None):
        raise SpaceProblem(f"{where}: {name} has log: true, which wants low above 0 and no step")
    if step is not None and (
        isinstance(step, bool)
        or not isinstance(step, int if whole else int | float)
        or not 0 < step <= high - low
    ):
        raise SpaceProblem(
            f"{where}: {name} has step {step!r}; want {'a whole number' if whole else 'a number'} above 0, "
            f"at most {high - low:g}"
        )
    return Range(low, high, log, step, whole)
