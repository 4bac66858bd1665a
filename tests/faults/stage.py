"""What a scenario gets."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.run import Book, Site

WAIT_S = 120.0


@dataclass
class Stage:
    """Where it plays; `say` tells whoever waits, rate: events per second."""

    site: Site
    book: Book
    rng: random.Random
    say: Callable[[str], None]
    rate: float
