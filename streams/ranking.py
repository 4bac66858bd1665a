"""The order of a list: candidates, what may be shown of them, and an order drawn with known chances.

    P(next item), by the release's head            ─┐
    or P(category) · share of the item in it         ├─► available only ─► weighed by margin ─► drawn place by place
                                                    ─┘

At temperature T > 0 the order is Plackett and Luce's: at each place an item is drawn with chance w_i / Σ w of those that
may stand there, w = worth^(1/T); drawn by the Gumbel trick (Yellott 1977, doi 10.1016/0022-2496(77)90026-8): the largest
log w + noise. The noise comes from the event's id, so that a redo gives the same list. Items that may stand at a place are
among those that might have stood at every place before, so their noise is bounded by the same value, the last one's, and
the chances hold with a limit per category, too.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

from models.item_head import Next
from streams.catalogue import Catalogue
from streams.policy import RerankPayload

Likely = tuple[str, str, float]  # item, category, probability


class Candidate(NamedTuple):
    """score: probability; worth: what it is ordered by."""

    item: str
    category: str
    score: float
    worth: float


def rank(
    payload: RerankPayload,
    likely: Sequence[tuple[str, float]],
    popular: Mapping[str, Sequence[str]],
    catalogue: Catalogue | None,
    seed: str,
    items: Sequence[Next] | None = None,
) -> dict[str, Any]:
    """The list as in schemas/intervention.avsc, Rerank. likely: next categories with their probability, best first.

    items: what the release's head looked up, best first; None where it has none, or was not asked.
    """
    found = candidates(payload, likely, popular, catalogue, items)
    chosen, chances = _drawn(found, payload, seed)
    return {
        "items": [one.item for one in chosen],
        "scores": [one.score for one in chosen],
        "categories": [one.category for one in chosen],
        "propensities": chances,
    }


def offered(
    payload: RerankPayload,
    likely: Sequence[str],
    popular: Mapping[str, Sequence[str]],
    catalogue: Catalogue | None,
    items: Sequence[Next] | None = None,
) -> bool:
    """Whether there is an item to show. likely: next categories; items: see `rank`."""
    if by_head(payload, items):
        return any(catalogue is None or one.item in catalogue.items for one in items or ())
    return any(
        catalogue is None or item in catalogue.items
        for category in likely[: payload.top_categories]
        for item in popular.get(category, ())
    )


def candidates(
    payload: RerankPayload,
    likely: Sequence[tuple[str, float]],
    popular: Mapping[str, Sequence[str]],
    catalogue: Catalogue | None,
    items: Sequence[Next] | None = None,
) -> list[Candidate]:
    """What may be shown, best first, each item once.

    With a head, score of an item = its probability of being the next one among all items that the release knows.
    Without, = P(category) * its share of the category, taken as Zipf's: proportional to 1 / its rank. A release
    keeps the order of a category's popular items, not their counts; 1 / rank is the usual prior for that.
    """
    by_item = by_head(payload, items)
    likeliest = (
        _looked_up(items or (), catalogue) if by_item else _popular(payload, likely, popular, catalogue)
    )
    found = [_candidate(*one, payload, catalogue) for one in islice(likeliest, payload.chosen_from)]
    return sorted(found, key=lambda one: -one.worth)  # equals as they were


def by_head(payload: RerankPayload, items: Sequence[Next] | None) -> bool:
    """Whether a list is made of what the head looked up."""
    return items is not None and payload.candidates == "next_item"


def _looked_up(items: Sequence[Next], catalogue: Catalogue | None) -> Iterator[Likely]:
    """What a list may show of what the head looked up, best first."""
    for one in items:
        if catalogue is None or one.item in catalogue.items:
            yield one.item, one.category, one.probability


def _popular(
    payload: RerankPayload,
    likely: Sequence[tuple[str, float]],
    popular: Mapping[str, Sequence[str]],
    catalogue: Catalogue | None,
) -> Iterator[Likely]:
    """The popular items of the likely categories that a list may show, best first."""
    best: dict[str, tuple[float, str]] = {}
    for category, probability in likely[: payload.top_categories]:
        usual = popular.get(category, ())
        for item, weight in zip(usual, _weights(len(usual)), strict=True):
            score = probability / weight
            if (item not in best or best[item][0] < score) and (catalogue is None or item in catalogue.items):
                best[item] = score, category
    for item in sorted(best, key=lambda item: (-best[item][0], item)):
        score, category = best[item]
        yield item, category, score


def _candidate(
    item: str, category: str, score: float, payload: RerankPayload, catalogue: Catalogue | None
) -> Candidate:
    if catalogue is None:
        return Candidate(item, category, score, score)
    worth = score * catalogue.worth(item, payload.margin_weight)
    return Candidate(item, catalogue.items[item].category or category, score, worth)


def _drawn(found: list[Candidate], payload: RerankPayload, seed: str) -> tuple[list[Candidate], list[float]]:
    """The items of the list, and the chance of each at its place given those before it."""
    heat = payload.temperature
    if not heat:
        chosen = _within(found, payload)
        return chosen, [1.0] * len(chosen)
    keys = [_log(one.worth) / heat + noise for one, noise in zip(found, _noise(found, seed), strict=True)]
    left = [found[at] for at in sorted(range(len(found)), key=lambda at: -keys[at])]
    chosen, chances = _within(left, payload), []
    held = Counter[str]()
    for one in chosen:
        chances.append(_chance(left, heat))
        held[one.category] += 1
        full = payload.most_per_category is not None and held[one.category] >= payload.most_per_category
        left = [other for other in left[1:] if not (full and other.category == one.category)]
    return chosen, chances


def _within(found: list[Candidate], payload: RerankPayload) -> list[Candidate]:
    """The first ones that fit in the list, no category with more than its limit."""
    if payload.most_per_category is None:
        return found[: payload.size]
    chosen: list[Candidate] = []
    held = Counter[str]()
    for one in found:
        if len(chosen) == payload.size:
            break
        if held[one.category] < payload.most_per_category:
            held[one.category] += 1
            chosen.append(one)
    return chosen


def _chance(left: list[Candidate], heat: float) -> float:
    """Of the first among all that are left."""
    logs = [_log(one.worth) / heat for one in left]
    most = max(logs)
    return math.exp(logs[0] - most) / sum(math.exp(one - most) for one in logs)


def _noise(found: list[Candidate], seed: str) -> Iterator[float]:
    """Standard Gumbel noise of each item, from the seed and the item's id alone."""
    for one in found:
        digest = hashlib.blake2b(f"{seed}:{one.item}".encode(), digest_size=8).digest()
        even = (int.from_bytes(digest, "big") + 0.5) / 2.0**64
        yield -math.log(-math.log(min(even, 1.0 - 2.0**-53)))


def _log(worth: float) -> float:
    return math.log(max(worth, 1e-300))  # a margin of 0 at full weight comes last, and not by an error


@lru_cache(64)
def _weights(items: int) -> tuple[float, ...]:
    """What the probability of a category with so many items is divided by, item by item."""
    whole = sum(1 / rank for rank in range(1, items + 1))
    return tuple(rank * whole for rank in range(1, items + 1))
