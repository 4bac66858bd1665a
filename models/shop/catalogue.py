"""What the made-up shop sells, and whom which of it suits: categories of items, popular and less so, and tastes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from models.families.table import Array, Doubles

CATEGORIES, ITEMS = 20, 800  # items in all, as many of each category
FAVOURITE = 0.7  # share of what a shopper looks at that is of the two favourite categories


@dataclass(frozen=True)
class Catalogue:
    """price, appeal (ITEMS,): appeal is log-odds by which an item is rather clicked. favourites (N, 2), of shoppers."""

    price: Doubles
    appeal: Doubles
    favourites: npt.NDArray[np.int64]

    @classmethod
    def draw(cls, shoppers: int, seed: int) -> Self:
        """One seed, one shop."""
        rng = np.random.default_rng((seed, 21))
        price = np.round(22.0 * np.exp(rng.normal(0, 0.6, ITEMS)), 2)
        popular = rng.permutation(CATEGORIES)
        favourites = popular[rng.geometric(0.12, (shoppers, 2)) % CATEGORIES]
        return cls(price, rng.normal(0, 0.5, ITEMS), favourites.astype(np.int64))

    def looked_at(self, shopper: Array, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """An item (n,) that each of the shoppers (n,) looks at: half of the time one of the first tenth of a category."""
        count, within = len(shopper), ITEMS // CATEGORIES
        liked = self.favourites[shopper, rng.integers(0, 2, count)]
        category = np.where(rng.random(count) < FAVOURITE, liked, rng.integers(0, CATEGORIES, count))
        rank = np.where(
            rng.random(count) < 0.5, rng.integers(0, within // 10, count), rng.integers(0, within, count)
        )
        return np.asarray(category * within + rank, np.int64)

    def likes(self, shopper: Array, item: Array) -> npt.NDArray[np.bool_]:
        """Whether each item (n,) is of a favourite category of the shopper (n,)."""
        return np.asarray((self.favourites[shopper] == category(item)[:, None]).any(axis=1))


def category(item: Array) -> npt.NDArray[np.int64]:
    """Of items (n,)."""
    return np.asarray(item // (ITEMS // CATEGORIES), np.int64)
