"""Which harms a run does, in which order: everything random comes from one seed, which is printed."""

from __future__ import annotations

import random

from tests.faults.harms import DEAR, HARMS

KILL = "kill -9 at random"
SHORT_KILLS, FULL_KILLS = 2, 100
ROUNDS = 2  # of every harm in the full form


def mixture(rng: random.Random, short: bool) -> list[str]:
    """Names of harms: every one (in the short form, every cheap one) and random kills, in an order that nobody chose."""
    others = [name for name in HARMS if name != KILL and not (short and name in DEAR)]
    names = others * (1 if short else ROUNDS) + [KILL] * (SHORT_KILLS if short else FULL_KILLS)
    rng.shuffle(names)
    return names
