"""Payloads of the three kinds and the sentence that says why."""

from typing import Any

import pytest

from streams.interventions import Intervention
from tests.streams.decide_cases import HOUR, NOON, Event, compiled, document, run, sent

COUPON, PUSH, RERANK = 0, 1, 2


def intervention(event: Event, campaign: int = COUPON, **payload: Any) -> Intervention:
    """The one intervention after the event, with the campaign's payload changed."""
    source = document()
    source["campaigns"] = [source["campaigns"][campaign]]
    source["campaigns"][0]["payload"].update(payload)
    (decision,) = sent([event], compiled(source))
    assert decision.intervention is not None
    return decision.intervention


def test_coupon_on_the_most_likely_next_category() -> None:
    out = intervention(Event(lapse_30d=0.41))
    assert out.coupon == {"value": 2.0, "category_id": "SOFT DRINKS", "minimum_spend": 10.0}
    assert (out.push, out.rerank, out.expires_at) == (None, None, NOON + 24 * HOUR)
    assert out.reason == (
        "Silent for 30 days with probability 0.41 (threshold 0.30) after a purchase on 2017-11-03; "
        "coupon of 2.00 on SOFT DRINKS, the most likely next category (0.50)"
    )


@pytest.mark.parametrize(("category", "words"), [("BEEF", "BEEF"), (None, "the whole basket")])
def test_coupon_on_a_fixed_category_or_the_basket(category: str | None, words: str) -> None:
    out = intervention(Event(lapse_30d=0.41), category=category)
    assert out.coupon is not None
    assert out.coupon["category_id"] == category
    assert out.reason.endswith(f"; coupon of 2.00 on {words}")


def test_push_with_template_variables_and_send_after() -> None:
    out = intervention(Event(buy_7d=0.2), PUSH)
    assert out.push == {
        "template": "reminder",
        "variables": {"category": "SOFT DRINKS", "since": "2017-11-03"},
        "send_after": NOON + 90 * 60_000,
    }
    assert out.expires_at == NOON + 48 * HOUR
    assert out.reason == (
        "Buys again within 7 days with probability 0.20 (at most 0.40) after a purchase on 2017-11-03; "
        "message reminder, not before 2017-11-03 13:30 UTC"
    )


def test_rerank_orders_popular_items_of_the_next_categories() -> None:
    out = intervention(Event(kind="click", buy_3d=0.5), RERANK, size=3)
    # SOFT DRINKS .5 and BEEF .3, two items each: shares 2/3 and 1/3 by rank
    assert out.rerank is not None
    assert out.rerank["items"] == ["cola", "steak", "lemonade"]
    assert out.rerank["scores"] == pytest.approx([1 / 3, 0.2, 1 / 6])
    assert out.rerank["categories"] == ["SOFT DRINKS", "BEEF", "SOFT DRINKS"]
    assert out.expires_at == NOON + HOUR // 2
    assert out.reason == (
        "Buys again within 3 days with probability 0.50 (between 0.20 and 0.80) after a click on 2017-11-03; "
        "list of 3 popular items from SOFT DRINKS, BEEF, the most likely next"
    )


def test_rerank_gives_what_there_is() -> None:
    out = intervention(Event(kind="click", buy_3d=0.5), RERANK, size=100, top_categories=5)
    assert out.rerank is not None
    assert sorted(out.rerank["items"]) == ["brie", "cola", "lemonade", "mince", "steak"]
    assert out.rerank["scores"] == sorted(out.rerank["scores"], reverse=True)


def test_the_sentence_has_the_right_article() -> None:
    source = document()
    source["campaigns"][0]["trigger"]["event_types"] = ["intervention_exposed"]
    (decision,) = run([Event(kind="intervention_exposed", lapse_30d=0.5)], compiled(source))
    assert decision.intervention is not None
    assert "after an intervention exposed on" in decision.intervention.reason
