"""What the scores of a release say: the names of tasks, and how a number of the network becomes a score.

    buy_<d>d, lapse_<d>d     a purchase within d days, none within d days: read off the survival curve (survival.py)
    session_buy              a purchase later in this session
    abandon_cart             none later in this session, though something was put into the cart
    click                    the shopper clicks what was just shown, within this session (click-through)
    returns_<n>m|h|d         the next event comes within n minutes, hours or days
    orders_<d>d, spend_<d>d  expected purchases within d days, and their money
    next_<type>              the next event is of this type; all types together, asked for as `next_type`

Those that are not read off the curve have a head of their own: `extra`. In a release's tasks they stand in this order:
curve, chances, amounts, types. No torch here.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from models import survival
from models.events import EVENT_TYPES

MOST_LOG = 20.0  # largest logarithm of an amount: its exponential is still far from infinite
NEXT_TYPES = tuple(f"next_{name}" for name in EVENT_TYPES)

_CHANCE = re.compile(r"session_buy|abandon_cart|click|returns_([1-9]\d*)([mhd])")
_AMOUNT = re.compile(r"(orders|spend)_([1-9]\d*)d")
_MINUTES = {"m": 1, "h": 60, "d": 1440}


class Split(NamedTuple):
    """Tasks by what makes their score of a logit: the survival curve, a sigmoid, an exponential, a softmax over all."""

    curve: tuple[str, ...]
    chances: tuple[str, ...]
    amounts: tuple[str, ...]
    types: tuple[str, ...]

    @property
    def extra(self) -> tuple[str, ...]:
        """Those with a logit of their own, in the order of the logits."""
        return self.chances + self.amounts + self.types

    @property
    def sizes(self) -> list[int]:
        """How many logits each kind of `extra` has."""
        return [len(self.chances), len(self.amounts), len(self.types)]

    @property
    def all(self) -> tuple[str, ...]:
        return self.curve + self.extra


def split(tasks: tuple[str, ...]) -> Split:
    """Tasks by kind. ValueError names the first that is none of the above, or is there twice, or alone of its kind."""
    for name in tasks:
        if tasks.count(name) > 1:
            raise ValueError(f"task {name!r} is there twice: name it once")
    found = Split(
        tuple(name for name in tasks if survival.is_task(name)),
        tuple(name for name in tasks if _CHANCE.fullmatch(name)),
        tuple(name for name in tasks if _AMOUNT.fullmatch(name)),
        tuple(name for name in tasks if name in NEXT_TYPES),
    )
    unknown = [name for name in tasks if name not in found.all]
    if unknown:
        survival.check_tasks(tuple(name for name in unknown if name.startswith(("buy_", "lapse_"))))
        raise ValueError(
            f"task {unknown[0]!r}: want buy_<d>d, lapse_<d>d, session_buy, abandon_cart, click, returns_<n>m|h|d, "
            "orders_<d>d, spend_<d>d or next_type"
        )
    if found.types not in ((), NEXT_TYPES):
        raise ValueError(f"task {found.types[0]!r}: types of the next event come all together, as next_type")
    return found


def expanded(tasks: tuple[str, ...]) -> tuple[str, ...]:
    """Tasks as a release names them, in order: `next_type` becomes one of each type. Raises as `split` does."""
    named = [NEXT_TYPES if name == "next_type" else (name,) for name in tasks]
    return split(tuple(name for names in named for name in names)).all


def check_tasks(tasks: tuple[str, ...]) -> tuple[str, ...]:
    """The tasks as they are, or ValueError: not as `split` wants them, or not in its order."""
    ordered = split(tasks).all
    if ordered != tasks:
        raise ValueError(f"tasks {', '.join(tasks)}: want them in the order {', '.join(ordered)}")
    return tasks


def minutes(task: str) -> int:
    """n of returns_<n>m|h|d, in minutes."""
    match = _CHANCE.fullmatch(task)
    if not match or match[1] is None:
        raise ValueError(f"task {task!r} is not of the kind returns_<n>m|h|d")
    return int(match[1]) * _MINUTES[match[2]]


def days(task: str) -> int:
    """d of orders_<d>d or spend_<d>d."""
    match = _AMOUNT.fullmatch(task)
    if not match:
        raise ValueError(f"task {task!r} is not of the kind orders_<d>d or spend_<d>d")
    return int(match[2])
