"""The order of a list: what may stand in it, and that its chances are those it is drawn with."""

import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.catalogue import Catalogue, Item
from streams.policy import RerankPayload
from streams.ranking import offered, rank
from tests.streams.decide_cases import POPULAR, compiled, document, run
from tests.streams.decide_cases import Event as Act

LIKELY = (("SOFT DRINKS", 0.5), ("BEEF", 0.3), ("CHEESE", 0.1))
ALL = {"cola", "lemonade", "steak", "mince", "brie"}


def payload(**changes: Any) -> RerankPayload:
    return RerankPayload.model_validate({"size": 5, "expires_minutes": 30, **changes})


def catalogue(**margins: float | None) -> Catalogue:
    named = {item: category for category, items in POPULAR.items() for item in items}
    return Catalogue.of(
        {name: Item(named[name], math.nan if one is None else one) for name, one in margins.items()}
    )


def test_only_what_is_available_is_shown() -> None:
    found = rank(payload(), LIKELY, POPULAR, catalogue(steak=None, brie=None), "e")
    assert found["items"] == ["steak", "brie"]
    assert found["propensities"] == [1.0, 1.0]
    assert not offered(payload(), ["SOFT DRINKS"], POPULAR, catalogue(steak=None))
    assert offered(payload(), ["SOFT DRINKS"], POPULAR, None)


def test_margin_moves_an_item_up_as_far_as_its_weight_says() -> None:
    stock = catalogue(cola=1.0, steak=4.0, brie=None)
    orders = [
        rank(payload(margin_weight=weight), LIKELY, POPULAR, stock, "e")["items"] for weight in (0.0, 1.0)
    ]
    assert orders == [["cola", "steak", "brie"], ["steak", "brie", "cola"]]  # 1/3·¼ < .1, margin not known


def test_a_category_has_no_more_than_its_places() -> None:
    found = rank(payload(most_per_category=1), LIKELY, POPULAR, None, "e")
    assert found["categories"] == ["SOFT DRINKS", "BEEF", "CHEESE"]


def test_orders_come_as_often_as_their_propensities_say() -> None:
    """4,000 events: of every order seen, its count is within five deviations of what its chances make of it."""
    rules, seen, told = payload(size=3, temperature=1.0, most_per_category=1), Counter[tuple[str, ...]](), {}
    for event in range(4000):
        found = rank(rules, LIKELY, POPULAR, None, f"event {event}")
        order = tuple(found["items"])
        seen[order] += 1
        told[order] = math.prod(found["propensities"])
    assert sum(told.values()) == pytest.approx(1.0)  # every order of one item a category has come
    for order, chance in told.items():
        assert abs(seen[order] - 4000 * chance) < 5 * math.sqrt(4000 * chance), order


@settings(max_examples=150)
@given(
    st.integers(1, 7),
    st.sampled_from([0.0, 0.3, 1.0, 10.0]),
    st.sampled_from([None, 1, 2]),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.text(max_size=5),
    st.dictionaries(st.sampled_from(sorted(ALL)), st.one_of(st.none(), st.floats(0, 100))),
)
def test_a_list_is_of_distinct_items_within_its_bounds_and_the_same_again(
    size: int, heat: float, most: int | None, weight: float, seed: str, stock: dict[str, float | None]
) -> None:
    rules = payload(size=size, temperature=heat, most_per_category=most, margin_weight=weight)
    found = rank(rules, LIKELY, POPULAR, catalogue(**stock), seed)
    assert found == rank(rules, LIKELY, POPULAR, catalogue(**stock), seed)
    assert len({*found["items"]}) == len(found["items"]) <= size
    assert {*found["items"]} <= {*stock}
    assert max(Counter(found["categories"]).values(), default=0) <= (most or size)
    assert len({len(column) for column in found.values()}) == 1
    assert all(0 <= chance <= 1 + 1e-12 for chance in found["propensities"])
    assert heat or all(chance == 1.0 for chance in found["propensities"])


def test_without_anything_to_show_there_is_no_list() -> None:
    source = document()
    source["campaigns"] = [source["campaigns"][2]]
    policy = compiled(source)
    act = Act(kind="click", buy_3d=0.5)
    (decision,) = run([act], policy)
    assert decision.reason == "emitted"
    assert decision.intervention is not None
    assert (
        "list of 3 popular items from SOFT DRINKS, BEEF, the most likely next" in decision.intervention.reason
    )
    policy.catalogue = Catalogue.of({})
    (decision,) = run([act], policy)
    assert (decision.outcome, decision.reason) == ("nothing", "no_candidates")
