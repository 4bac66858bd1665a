"""The outcome agent end to end on the embedded broker."""

from __future__ import annotations

import pytest

from schemas.settings import Settings
from schemas.topics import Topics
from streams.outcomes import Outcomes, run
from streams.outcomes_changelog import OutcomeProblem
from tests.streams.outcome_site import decided, did, last_words, shop, write

pytestmark = pytest.mark.embedded


def test_decisions_get_what_came_of_them_and_nonsense_becomes_dead_letters(settings: Settings) -> None:
    site = shop(settings)
    write(
        site.settings,
        "decision",
        [
            decided(1, 0, 0),
            decided(2, 1, 0, reason="holdout", outcome="held_back", intervention_id=None, coupon_value=0.0),
            decided(3, 2, 0, reason="no_consent", outcome="held_back", intervention_id=None),
            *(decided(number, shopper, 40) for number, shopper in ((90, 0), (91, 1))),
        ],
    )
    good = {"intervention_id": "i1"}
    events = [
        did(1, 0, 1, "intervention_exposed", properties=good),
        did(2, 0, 2, "purchase", price=20.0, session_id="s", properties={"margin": "6.5"}),
        did(3, 0, 2, "purchase", price=5.0, session_id="s"),
        did(4, 0, 3, "coupon_redeem", properties=good),
        did(5, 1, 4, "purchase", price=7.0),
        did(6, 0, 5, "coupon_redeem", properties={"intervention_id": "made-up"}),
        did(7, 1, 5, "intervention_exposed", properties=good),  # somebody else's
        did(8, 1, 6, "coupon_redeem", properties={"coupon_id": "of the shop"}),
        did(9, 1, 7, "consent", properties={"channel": "push", "granted": "false"}),
        *(did(90 + shopper, shopper, 40, "page_view") for shopper in (0, 1)),
    ]
    write(site.settings, "behavior_event", events)
    done = run(site.settings, until_end=True)
    assert done.refused == {"no_such_coupon": 1, "unknown_intervention": 1}
    found = last_words(site)
    assert set(found) == {"d1", "d2"}
    one = found["d1"]
    assert (one["revenue"], one["purchases"], one["orders"], one["margin"]) == (25.0, 2, 1, 6.5)
    assert (one["redemptions"], one["coupon_cost"], one["contacts"], one["exposures"]) == (1, 3.0, 1, 1)
    assert found["d2"]["unsubscribed"]
    letters = {row["reason"]: row for row in site.read("dead_letter")}
    assert set(letters) == {"no_such_coupon", "unknown_intervention"}
    raw = [value for _, value in site.read_raw(Topics(site.settings).behavior_events)]
    assert all(row["value"] in raw for row in letters.values())

    write(site.settings, "behavior_event", [did(10, 1, 8, "purchase", price=1.5)])  # late
    run(site.settings, until_end=True)
    assert (last_words(site)["d2"]["revenue"], last_words(site)["d2"]["revision"]) == (8.5, 2)
    closing = run(site.settings, until_end=True, close=True)
    assert closing.told == {"none": 2}
    assert not last_words(site)["d90"]["complete"]
    assert len(site.read("dead_letter")) == 2


def test_topics_of_different_partitions_are_refused(settings: Settings) -> None:
    site = shop(settings)
    agent = Outcomes(site.settings)
    with pytest.raises(OutcomeProblem, match="came alone"):
        agent._assigned({0: {"behavior-events": 0}})
