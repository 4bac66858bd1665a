"""The numbers of a moment that arms are chosen by and learnt by. One function, so that both sides see the same.

It takes what a decision logs and nothing else: what was decided by can be learnt from years later.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from streams.local_time import local, zone_of

# Fixed, so that a context means the same whatever was learnt: scores between 2 and 73 % come to lie within 2 of 0.
CENTRE, SCALE = -1.5, 1.25
LEAST = 1e-4  # probability; beyond it a logit says more of the model's last bits than of the shopper
_DAY_MINUTES = 24 * 60


def columns(tasks: Iterable[str]) -> tuple[str, ...]:
    """Names of the numbers that `context` gives for scores of these tasks."""
    return (*(f"logit {task}" for task in sorted(tasks)), "hour sin", "hour cos")


def context(scores: Mapping[str, float], time: int, zone: str) -> list[float]:
    """A number for each of `columns`. scores: probability by task; time: ms; zone: IANA name of the shopper's clock."""
    clock = local(time, zone_of(zone))
    angle = 2.0 * math.pi * (clock.hour * 60 + clock.minute) / _DAY_MINUTES
    logits = [(_logit(scores[task]) - CENTRE) / SCALE for task in sorted(scores)]
    return [*logits, math.sin(angle), math.cos(angle)]


def _logit(chance: float) -> float:
    inside = min(max(chance, LEAST), 1.0 - LEAST)
    return math.log(inside / (1.0 - inside))
