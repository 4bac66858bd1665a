"""Warm start: training goes on from a release's weights, when they mean the same to the new network."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from models.release import OTHER, Release
from models.replay.labels import Bought, Vocabulary, vocabulary
from models.replay.source import SourceProblem
from models.tasks import expanded

if TYPE_CHECKING:
    from models.replay.train import Recipe

MOST_LOST = (
    0.02  # share of purchase lines that an old vocabulary may leave to OTHER more than a new one would
)


def words_of(release: Release, bought: Bought, recipe: Recipe) -> Vocabulary:
    """The release's vocabulary with the shares of what was bought. Raises SourceProblem that says why it does not fit."""
    mend = "train without --warm, or with the recipe of that release"
    card = release.card
    if card.features.fingerprint() != recipe.features.fingerprint():
        raise SourceProblem(
            f"--warm {release.id}: made for features {card.features.fingerprint()}, the recipe has "
            f"{recipe.features.fingerprint()}: {mend}"
        )
    if replace(card.architecture, dropout=0.0) != replace(recipe.architecture, dropout=0.0):
        raise SourceProblem(
            f"--warm {release.id}: its network is {card.architecture}, the recipe's {recipe.architecture}: {mend}"
        )
    if card.tasks != expanded(recipe.tasks):
        raise SourceProblem(
            f"--warm {release.id}: it scores {', '.join(card.tasks)}, the recipe wants {', '.join(recipe.tasks)}: {mend}"
        )
    if card.categories[-1:] != (OTHER,):
        raise SourceProblem(f"--warm {release.id}: its categories do not end with {OTHER}: {mend}")
    old = Vocabulary(card.categories, release.category_hashes, np.ones(len(card.categories)))
    counts = np.bincount(old.codes(bought.hashes), bought.counts, len(old.names))
    fresh = vocabulary(bought, recipe.categories)
    unnamed = bought.counts[fresh.codes(bought.hashes) == len(fresh.names) - 1].sum()
    lost = (counts[-1] - unnamed) / max(bought.counts.sum(), 1)
    if lost > MOST_LOST:
        raise SourceProblem(
            f"--warm {release.id}: its vocabulary lacks categories of {lost:.1%} of the purchases that a new one "
            f"would hold, more than {MOST_LOST:.0%}: train without --warm"
        )
    shares = counts + 1.0
    return Vocabulary(old.names, old.hashes, shares / shares.sum())
