"""A small next-item head with random weights, for tests of it and of whoever asks it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models import release
from models.item_head import REPEATS, ItemHead
from models.network import weights_of
from models.release import Card, Release
from tests.models.releases import card, untrained

ITEMS = tuple(f"item-{number}" for number in range(12))


def head(trunk: int, items: tuple[str, ...] = ITEMS, seed: int = 0, width: int = 8) -> ItemHead:
    rng = np.random.default_rng(seed)

    def drawn(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    return ItemHead(
        items,
        tuple(f"category {at % 3}" for at in range(len(items))),
        drawn(width, trunk) / 4,
        drawn(width),
        drawn(len(items), width) / 4,
        drawn(len(items)),
        drawn(len(items)),
        drawn(REPEATS),
    )


def with_head(folder: Path | str, seed: int = 0) -> Release:
    """A release with random weights and a random head in `folder`."""
    of = card()
    weights = weights_of(untrained(of, seed))
    plain = release.write(str(folder), of, weights)
    return release.write(
        f"{folder}-with-head", of, weights, beside=head(trunk_size(of)).to_bytes(plain.weights_sha256)
    )


def trunk_size(of: Card) -> int:
    return of.architecture.trunk_size(of.features)
