"""Made sessions with an order that can be learned: an item is mostly followed by the next one, or comes again."""

import numpy as np

from models.families.interface import Sessions
from models.families.sessions import sessions_of

N_ITEMS = 30


def browsed(sessions: int = 200, seed: int = 0, n_items: int = N_ITEMS) -> Sessions:
    rng = np.random.default_rng(seed)
    made = []
    for length in rng.integers(2, 9, sessions):
        items = [int(rng.integers(n_items))]
        for _ in range(length - 1):
            kind = rng.random()
            if kind < 0.7:
                items.append((items[-1] + 1) % n_items)
            else:
                items.append(items[-1] if kind < 0.8 else int(rng.integers(n_items)))
        made.append(items)
    return sessions_of(made, n_items)
