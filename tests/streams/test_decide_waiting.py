"""What waits: a pause that a shopper makes, a message whose hour has not come; asked once more when it rings."""

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from models.item_head import Next
from streams.choosing import Deciding
from streams.compiled import CompiledPolicy
from streams.contacts import FORGET, Said
from streams.decide import Decision, ring
from streams.moments import moments
from streams.policy import Policy
from streams.timers import kept
from tests.streams.decide_cases import HOUR, NOON, Event, Stored, compiled, document, passed, run, scored

COUPON, PUSH, RERANK = 0, 1, 2
CART = {
    "event_types": ["add_to_cart"],
    "score": "buy_7d",
    "at_least": 0.1,
    "at_most": 0.6,
    "idle_minutes": 20,
}
NIGHT = [{"from": "21:00", "until": "08:00"}]


def idle(campaign: int = COUPON, changes: dict[str, Any] | None = None, **top: Any) -> CompiledPolicy:
    """One campaign that waits for 20 quiet minutes after a cart, without a cap."""
    source = document(**{"frequency_caps": [], **top})
    value = {**source["campaigns"][campaign]["value"], "score": "buy_3d"}
    changed = {**source["campaigns"][campaign], "trigger": CART, "value": value, "cooldown_hours": 0}
    source["campaigns"] = [{**changed, **(changes or {})}]
    return compiled(source)


def cart(minute: float, user: str = "u", **more: Any) -> Event:
    return Event(
        user=user, kind="add_to_cart", hour=minute / 60, buy_7d=0.3, **{"id": f"c{user}{minute}", **more}
    )


def told(decisions: list[Decision]) -> list[tuple[str, str, float]]:
    """(reason, event, minutes after NOON)"""
    return [(d.reason, d.event_id, (d.event_time - NOON) / 60_000) for d in decisions]


def test_a_cart_left_alone_is_decided_when_the_pause_is_over() -> None:
    stored = Stored()
    assert run([cart(0)], idle(), stored) == []
    assert passed(stored, 19.9 / 60, idle()) == []
    (decision,) = passed(stored, 20 / 60, idle())
    assert told([decision]) == [("emitted", "cu0", 20)]
    assert decision.intervention is not None
    assert decision.intervention.event_time == NOON + 20 * 60_000
    assert "(between 0.10 and 0.60) after an add to cart and 20 quiet minutes on 2017-11-03" in (
        decision.intervention.reason
    )
    assert passed(stored, 24, idle()) == []


def test_another_shoppers_event_makes_time_pass() -> None:
    events = [
        cart(0),
        Event(user="v", kind="search", hour=19 / 60),
        Event(user="v", kind="search", hour=20 / 60),
    ]
    assert told(run(events, idle())) == [("emitted", "cu0", 20)]


@pytest.mark.parametrize("kind", ["search", "purchase", "remove_from_cart", "page_view"])
def test_any_act_of_the_shopper_ends_the_pause(kind: str) -> None:
    stored = Stored()
    assert run([cart(0), Event(kind=kind, hour=10 / 60, buy_7d=0)], idle(), stored) == []
    assert passed(stored, 24, idle()) == []
    assert stored.timers == {}


@pytest.mark.parametrize("kind", ["impression", "intervention_exposed"])
def test_what_is_told_about_the_shopper_does_not(kind: str) -> None:
    stored = Stored()
    run([cart(0), Event(kind=kind, hour=10 / 60, buy_7d=0)], idle(), stored)
    assert told(passed(stored, 1, idle())) == [("emitted", "cu0", 20)]


def test_a_second_cart_begins_the_pause_anew() -> None:
    stored = Stored()
    run([cart(0), cart(15)], idle(), stored)
    assert told(passed(stored, 24, idle())) == [("emitted", "cu15", 35)]


def test_the_pause_was_over_when_the_next_act_came() -> None:
    events = [cart(0), Event(kind="purchase", hour=21 / 60, buy_7d=0)]
    assert told(run(events, idle())) == [("emitted", "cu0", 20)]


def test_a_late_event_neither_ends_a_pause_nor_begins_one() -> None:
    stored = Stored()
    late = cart(-5, latest=0.0)
    run([cart(0), late], idle(), stored)
    assert told(passed(stored, 24, idle())) == [("emitted", "cu0", 20)]


def test_events_on_their_way_still_count() -> None:
    stored = Stored()
    stored.book.timers.lateness = 60_000
    other = Event(user="v", kind="search", hour=20.5 / 60)
    assert run([cart(0), other, Event(kind="search", hour=19.9 / 60)], idle(), stored) == []


def test_rules_are_asked_when_the_pause_is_over_not_when_it_begins() -> None:
    stored = Stored()
    refused = Event(kind="consent", hour=1 / 60, consent=("coupon", False), buy_7d=0)
    run([cart(0), refused], idle(), stored)
    assert [d.reason for d in passed(stored, 24, idle())] == ["no_consent"]
    night = idle(quiet_hours=[{"from": "12:10", "until": "13:00"}])
    stored = Stored()
    run([cart(0)], night, stored)
    assert [d.reason for d in passed(stored, 24, night)] == ["quiet_hours"]


def test_two_campaigns_that_wait_for_the_same_pause_have_one_winner() -> None:
    source = document(frequency_caps=[])
    value = {"margin_per_conversion": 20, "lift": 0.1, "cost_per_contact": 0.1}
    source["campaigns"] = [
        {**source["campaigns"][at], "trigger": CART, "value": value, "priority": 1 + at}
        for at in (COUPON, PUSH)
    ]
    stored, policy = Stored(), compiled(source)
    run([cart(0)], policy, stored)
    decisions = passed(stored, 24, policy)
    assert [(d.campaign, d.reason) for d in decisions] == [
        ("winback", "outranked"),
        ("reminder", "deferred"),  # 90 minutes later
        ("reminder", "emitted"),
    ]
    assert decisions[0].eligible == ["winback", "reminder"]


def test_what_waits_survives_a_crash() -> None:
    stored = Stored()
    run([cart(0), Event(user="v", buy_7d=0.1, id="p")], compiled(), stored)
    run([cart(1, user="w")], idle(), stored)
    before = dict(stored.timers)
    stored.book.timers.discard()
    stored.reopen()
    both = compiled(
        document(campaigns=[document()["campaigns"][PUSH], idle().policy.written()["campaigns"][0]])
    )
    assert told(passed(stored, 24, both)) == [("emitted", "cw1", 21), ("emitted", "p", 0)]
    assert len(before) == 2
    assert stored.timers == {}


def test_an_aborted_batch_leaves_the_timers_as_they_were() -> None:
    stored = Stored()
    run([cart(0)], idle(), stored)
    from streams.decide import decide

    decide(scored([Event(kind="search", hour=30 / 60, id="x")]), stored.book, idle(), NOON)
    stored.book.discard()
    assert (
        told(
            run(
                [Event(kind="search", hour=10 / 60, id="y"), Event(user="v", kind="search", hour=1)],
                idle(),
                stored,
            )
        )
        == []
    )
    run([cart(60)], idle(), stored)
    decide(scored([Event(kind="search", hour=90 / 60, id="x")]), stored.book, idle(), NOON)
    stored.book.discard()
    assert told(passed(stored, 24, idle())) == [("emitted", "cu60", 80)]


def test_a_purchase_meanwhile_calls_a_message_back() -> None:
    calling = compiled(
        document(
            frequency_caps=[],
            campaigns=[
                _reminder(
                    trigger={"event_types": ["click"], "score": "buy_7d", "at_most": 0.4},
                    cooldown_after_purchase_hours=24,
                )
            ],
        )
    )
    stored = Stored()
    run([Event(kind="click", buy_7d=0.1, id="a"), Event(hour=1, buy_7d=1)], calling, stored)
    (back,) = passed(stored, 24, calling)
    assert (back.reason, back.outcome, back.intervention) == ("after_purchase", "held_back", None)
    assert stored.book.get("u").sent == ()  # its place among caps and cooldowns is free again


def _reminder(**changes: Any) -> dict[str, Any]:
    return {**document()["campaigns"][PUSH], "cooldown_hours": 0, **changes}


def test_a_refusal_meanwhile_calls_a_message_back_and_so_does_the_kill_switch() -> None:
    stored, policy = Stored(), compiled()
    run([Event(buy_7d=0.1, id="a"), Event(kind="consent", hour=1, consent=("push", False))], policy, stored)
    assert [d.reason for d in passed(stored, 24, policy)] == ["no_consent"]
    stored = Stored()
    run([Event(buy_7d=0.1, id="a")], policy, stored)
    killed = compiled(document(kill_switch=True))
    assert [d.reason for d in passed(stored, 24, killed)] == ["kill_switch"]


def test_a_campaign_that_is_gone_is_withdrawn_with_a_reason() -> None:
    stored = Stored()
    run([Event(buy_7d=0.1, id="a")], compiled(), stored)
    (gone,) = passed(stored, 24, compiled(document(campaigns=document()["campaigns"][:1])))
    assert (gone.campaign, gone.reason, gone.outcome) == ("reminder", "withdrawn", "held_back")


def test_an_erasure_takes_what_waits_with_it() -> None:
    stored = Stored()
    run([Event(buy_7d=0.1, id="a")], stored=stored)
    stored.book.hear(Said(0, "u", FORGET, True))
    stored.commit()
    assert stored.timers == {}
    assert passed(stored, 1000) == []


def test_a_message_that_waits_holds_its_place_among_the_caps() -> None:
    capped = compiled(
        document(frequency_caps=[{"count": 1, "hours": 24, "kinds": ["push"]}], campaigns=[_reminder()])
    )
    stored = Stored()
    events = [Event(buy_7d=0.1, id="a"), Event(buy_7d=0.1, hour=1, id="b")]
    assert [d.reason for d in run(events, capped, stored)] == ["deferred", "frequency_cap"]
    assert [d.reason for d in passed(stored, 24, capped)] == ["emitted"]


def test_a_message_moved_to_the_morning_is_sent_then_though_nobody_comes() -> None:
    policy = compiled(
        document(frequency_caps=[], campaigns=[_reminder(in_quiet_hours="defer")], quiet_hours=NIGHT)
    )
    stored = Stored()
    run([Event(buy_7d=0.1, hour=9)], policy, stored)
    (sent,) = passed(stored, 20, policy)
    assert (sent.reason, sent.send_after) == ("emitted", NOON + 20 * HOUR)


def test_what_waits_is_old_only_after_its_hour() -> None:
    """max_age_minutes is of events; a message that was to wait for longer is no old one."""
    policy = compiled(document(max_age_minutes=15))
    stored = Stored()
    assert [d.reason for d in run([Event(buy_7d=0.1)], policy, stored, now=NOON)] == ["deferred"]
    deciding = Deciding(stored.book, policy, NOON)
    on_time = NOON + 90 * 60_000
    assert [d.reason for d in ring(deciding, on_time, on_time + 60_000)] == ["emitted"]
    stored.book.discard()
    assert [d.reason for d in ring(deciding, on_time, on_time + 16 * 60_000)] == ["stale"]


def test_a_message_that_the_policy_lets_expire_sooner_now_is_not_sent() -> None:
    stored = Stored()
    run([Event(buy_7d=0.1)], compiled(), stored)
    payload = {**document()["campaigns"][PUSH]["payload"], "send_after_minutes": 0, "expires_hours": 1}
    sooner = compiled(document(campaigns=[_reminder(payload=payload)]))
    assert [d.reason for d in passed(stored, 24, sooner)] == ["quiet_hours"]


def test_a_pause_is_withdrawn_when_the_policy_no_longer_considers_such_scores() -> None:
    stored = Stored()
    run([cart(0)], idle(), stored)
    tighter = idle(changes={"trigger": {**CART, "at_least": 0.5}})
    assert [d.reason for d in passed(stored, 1, tighter)] == ["withdrawn"]


def test_a_clock_that_runs_ahead_does_not_make_time_pass() -> None:
    stored = Stored()
    ahead = Event(user="v", kind="search", hour=1, id="ahead")
    assert run([cart(0), ahead], idle(), stored, now=NOON + 60_000) == []


def test_a_purchase_that_was_not_scored_calls_a_message_back() -> None:
    trigger = {"event_types": ["click"], "score": "buy_7d", "at_most": 0.4}
    calling = compiled(document(campaigns=[_reminder(trigger=trigger, cooldown_after_purchase_hours=24)]))
    stored = Stored()
    run([Event(kind="click", buy_7d=0.1, id="a")], calling, stored)
    run([Event(kind="search", hour=1, bought=0.5, id="b")], calling, stored)
    assert [d.reason for d in passed(stored, 24, calling)] == ["after_purchase"]


def test_a_list_cannot_wait() -> None:
    source = document()["campaigns"][RERANK]
    source["trigger"]["idle_minutes"] = 5
    with pytest.raises(ValidationError, match="a list is of use to a shopper who is there; remove it"):
        Policy.model_validate(document(campaigns=[source]))


def test_what_waits_holds_nothing_of_the_release_that_was_in_use() -> None:
    (moment,) = moments(scored([Event()]), [0], None, None, {})
    looked_up = replace(moment, items=[Next("item", "category", 0.5)])
    assert kept(looked_up) == kept(moment)
    assert kept(looked_up).items is None
