"""Lists of next items: looked up for those events only that a list may follow, and said to be what they are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from models.events import EVENT
from models.item_head import ItemHead
from streams.catalogue import Catalogue, Item
from streams.compiled import CompiledPolicy
from streams.decide import Decision, decide
from streams.lookups import LookUps, Shelves
from tests.models.heads import ITEMS, head
from tests.streams.decide_cases import NOON, Event, Stored, compiled, document, scored

TRUNK = 5
CLICK = Event(kind="click", buy_3d=0.5)


class Asked:
    """A history in which nobody did anything, and who was asked about."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def __getitem__(self, row: int) -> Any:
        self.rows.append(row)
        return np.zeros(0, EVENT)


def lists(**payload: Any) -> CompiledPolicy:
    """The campaign that orders a list, alone, with these fields of its payload."""
    source = document()
    source["campaigns"] = [source["campaigns"][2]]
    source["campaigns"][0]["payload"] |= payload
    return compiled(source)


def decided(
    events: list[Event], policy: CompiledPolicy, of: ItemHead | None = None
) -> tuple[list[Decision], Asked]:
    batch, asked = scored(events), Asked()
    trunk = np.random.default_rng(0).normal(size=(len(events), TRUNK)).astype(np.float32)
    batch.look_ups = LookUps(Shelves(of or head(TRUNK)), trunk, asked)
    return decide(batch, Stored().book, policy, NOON), asked


def expected(row: int, events: int, count: int, allowed: Any = None) -> list[Any]:
    trunk = np.random.default_rng(0).normal(size=(events, TRUNK)).astype(np.float32)
    return head(TRUNK).best(trunk[row : row + 1], [np.zeros(0, EVENT)], count, allowed)[0][:]


def rerank(decision: Decision) -> dict[str, Any]:
    assert decision.intervention is not None
    assert decision.intervention.rerank is not None
    return decision.intervention.rerank


def test_a_list_is_of_the_likeliest_next_items_and_says_so() -> None:
    (decision,), _ = decided([CLICK], lists())
    best = expected(0, 1, 3)
    assert rerank(decision) == {
        "items": [one.item for one in best],
        "scores": [one.probability for one in best],
        "categories": [one.category for one in best],
        "propensities": [1.0, 1.0, 1.0],
    }
    assert decision.intervention is not None
    assert decision.intervention.reason.endswith("; list of 3 items, those most likely next")


def test_only_events_that_a_list_may_follow_are_looked_up() -> None:
    others = [Event(user="a"), Event(user="b", kind="click", buy_3d=0.9), Event(user="c", kind="search")]
    decisions, asked = decided([*others, CLICK, Event(user="v", kind="click", buy_3d=0.3)], lists())
    assert asked.rows == [3, 4]
    assert [decision.reason for decision in decisions] == ["emitted", "emitted"]
    assert rerank(decisions[1])["items"] == [one.item for one in expected(4, 5, 3)]


def test_popular_items_when_the_policy_says_so() -> None:
    (decision,), asked = decided([CLICK], lists(candidates="popular"))
    assert asked.rows == []
    assert rerank(decision)["items"] == ["cola", "steak", "lemonade"]
    assert decision.intervention is not None
    assert "popular items from SOFT DRINKS, BEEF" in decision.intervention.reason


def test_arms_of_an_experiment_have_either() -> None:
    source = document()
    source["campaigns"] = [source["campaigns"][2]]
    source["campaigns"][0]["experiment"] = {
        "salt": "s",
        "arms": [
            {"name": "popular", "share": 50, "payload": {"candidates": "popular"}},
            {"name": "next", "share": 50},
        ],
    }
    users = [Event(user=f"user-{at}", kind="click", buy_3d=0.5) for at in range(20)]
    decisions, _ = decided(users, compiled(source))
    for decision in decisions:
        assert (rerank(decision)["items"] == ["cola", "steak", "lemonade"]) == (decision.arm == "popular")
    assert {decision.arm for decision in decisions} == {"popular", "next"}


def test_what_is_sold_out_gives_its_place_to_the_next() -> None:
    policy = lists(considered=3)
    shown = [item for item in ITEMS if item not in {one.item for one in expected(0, 1, 5)}]
    policy.catalogue = Catalogue.of({item: Item("mine", math.nan) for item in shown})
    (decision,), _ = decided([CLICK], policy)
    assert rerank(decision)["items"] == [one.item for one in expected(0, 1, 8)[5:]]
    assert rerank(decision)["categories"] == ["mine"] * 3  # the shop's own word


def test_with_nothing_to_show_there_is_no_list() -> None:
    policy = lists()
    policy.catalogue = Catalogue.of({"unknown to the release": Item("", math.nan)})
    (decision,), _ = decided([CLICK], policy)
    assert decision.reason == "no_candidates"


def test_margin_and_places_of_a_category_choose_among_those_considered() -> None:
    best = expected(0, 1, 6)
    stock = {one.item: Item("", 10.0 if one == best[-1] else 0.001) for one in best}
    policy = lists(considered=6, margin_weight=1.0)
    policy.catalogue = Catalogue.of(stock)
    (decision,), _ = decided([CLICK], policy)
    assert rerank(decision)["items"][0] == best[-1].item
    policy = lists(considered=5, margin_weight=1.0)
    policy.catalogue = Catalogue.of(stock)
    (decision,), _ = decided([CLICK], policy)
    assert rerank(decision)["items"] == [one.item for one in best[:3]]
    (decision,), _ = decided([CLICK], lists(most_per_category=1))
    assert sorted(rerank(decision)["categories"]) == ["category 0", "category 1", "category 2"]


def test_a_batch_cut_anywhere_gives_the_same_lists() -> None:
    events = [Event(user=f"user-{at}", kind="click", buy_3d=0.5) for at in range(6)]
    batch, asked = scored(events), Asked()
    trunk = np.random.default_rng(0).normal(size=(6, TRUNK)).astype(np.float32)
    batch.look_ups = LookUps(Shelves(head(TRUNK)), trunk, asked)
    whole = [rerank(decision)["items"] for decision in decide(batch, Stored().book, lists(), NOON)]
    parts = []
    for first, stop in ((0, 1), (1, 4), (4, 6)):
        some = batch.between(first, stop)
        assert some.look_ups is not None
        some.look_ups.history = asked
        parts += [rerank(decision)["items"] for decision in decide(some, Stored().book, lists(), NOON)]
    assert parts == whole


def test_a_payload_considers_at_least_as_many_as_it_shows() -> None:
    with pytest.raises(ValueError, match="considered 2 is below size 3"):
        lists(considered=2)
