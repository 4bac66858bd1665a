"""Whom a campaign reaches: consent by purpose, robots, audiences, arms; and what is only tried."""

from typing import Any

import pytest

from streams.compiled import CompiledPolicy, fraction
from tests.streams.decide_cases import Event, Stored, compiled, document, run, sent

COUPON, PUSH = 0, 1
LAPSING = Event(lapse_30d=0.4)


def policy(campaign: int = COUPON, changes: dict[str, Any] | None = None, **top: Any) -> CompiledPolicy:
    source = document(**top)
    source["campaigns"] = [{**source["campaigns"][campaign], **(changes or {})}]
    return compiled(source)


def found(events: list[Event], rules: CompiledPolicy, stored: Stored | None = None) -> list[str]:
    return [decision.reason for decision in run(events, rules, stored)]


def test_row_2_cooldown_per_kind() -> None:
    source = document(frequency_caps=[], kind_cooldowns={"push": 10})
    other = {**source["campaigns"][PUSH], "id": "other", "priority": 50}
    other["trigger"] = {"event_types": ["click"], "score": "buy_7d", "at_most": 0.4}
    source["campaigns"] = [{**source["campaigns"][PUSH], "cooldown_hours": 0}, {**other, "cooldown_hours": 0}]
    events = [Event(buy_7d=0.1), Event(kind="click", buy_7d=0.1, buy_3d=0, hour=9)]
    events.append(Event(kind="click", buy_7d=0.1, buy_3d=0, hour=10))
    decisions = [d for d in sent(events, compiled(source)) if d.reason != "outranked"]
    assert [(d.campaign, d.reason) for d in decisions] == [
        ("reminder", "emitted"),
        ("other", "cooldown"),
        ("other", "emitted"),
    ]


def test_row_2_cooldown_after_conversion() -> None:
    trigger = {"event_types": ["click"], "score": "lapse_30d", "at_least": 0.3}
    waiting = policy(COUPON, {"trigger": trigger, "cooldown_after_purchase_hours": 24, "cooldown_hours": 0})

    def after(hours: float | None, user: str) -> Event:
        return Event(user=user, kind="click", lapse_30d=0.4, bought=None if hours is None else -hours)

    events = [
        after(None, "a"),
        after(23, "b"),
        after(24, "c"),
        after(-5, "d"),
    ]  # d: bought after this late event
    assert found(events, waiting) == ["emitted", "after_purchase", "emitted", "after_purchase"]


def test_row_4_consent_per_channel_and_purpose() -> None:
    marketing, service = policy(PUSH), policy(PUSH, {"purpose": "service"}, consent={"service": "opt_out"})
    stored, event = Stored(), Event(buy_7d=0.1)
    no = Event(kind="consent", consent=("push:marketing", False))
    assert found([no, event], marketing, stored) == ["no_consent"]
    (decision,) = run([event], service, stored)
    assert (decision.reason, decision.purpose) == ("deferred", "service")


def test_row_4_service_has_a_default_of_its_own() -> None:
    opted = {"push": "opt_out", "service": "opt_in"}
    assert found([Event(buy_7d=0.1)], policy(PUSH, {"purpose": "service"}, consent=opted)) == ["no_consent"]


def test_row_7_arms_are_sticky_salted_shares_and_go_with_the_propensity() -> None:
    arms = [
        {"name": "control", "share": 50, "nothing": True},
        {"name": "two", "share": 30},
        {"name": "five", "share": 20, "payload": {"value": 5.0}},
    ]
    tried = policy(
        COUPON,
        {"experiment": {"salt": "x", "arms": arms}},
        holdout={"salt": "s", "share": 0.2},
        frequency_caps=[],
    )
    users = [f"u{n}" for n in range(600)]
    decisions = run([Event(user=user, lapse_30d=0.4) for user in users], tried)
    again = run([Event(user=user, lapse_30d=0.5, id=f"x{user}") for user in users], tried)
    assert [d.arm for d in decisions] == [d.arm for d in again]
    for decision in decisions:
        place = fraction(f"arm:x:{decision.user_id}")
        assert decision.arm == ("control" if place < 0.5 else "two" if place < 0.8 else "five")
    seen = {(d.arm, d.outcome, d.reason, round(d.propensity, 9)) for d in decisions if d.reason != "holdout"}
    assert seen == {
        ("control", "held_back", "control", 0.4),
        ("two", "emit", "emitted", 0.24),
        ("five", "emit", "emitted", 0.16),
    }
    sent = [d.intervention for d in decisions if d.intervention]
    assert {(i.arm, i.coupon["value"]) for i in sent if i.coupon} == {("two", 2.0), ("five", 5.0)}
    assert 240 < sum(d.arm == "control" for d in decisions) < 360


def test_row_9_a_decision_says_why_its_campaign_won() -> None:
    won, lost = run([Event(lapse_30d=0.4, buy_7d=0.1)])
    assert (won.why, lost.why) == (
        "won over reminder: priority 30, not 20",
        "lost to winback: priority 20, not 30",
    )
    lost, won = run([Event(kind="click", buy_7d=0.1, buy_3d=0.8)])
    assert (won.why, lost.why) == (
        "won over reminder: same priority, value 0.80, not 0.09",
        "lost to list: same priority, value 0.09, not 0.80",
    )
    assert (won.policy_version, won.release, won.time_zone) == (compiled().version, "r1", "UTC")


def test_row_9_the_digest_is_of_the_history() -> None:
    same, again, other = run(
        [Event(user=user, lapse_30d=0.4, events=events) for user, events in (("a", 3), ("b", 3), ("c", 4))]
    )
    assert same.history_digest == again.history_digest != other.history_digest
    assert len(same.history_digest) == 16


@pytest.mark.parametrize("changes", [{"dry_run": True}, {}])
def test_row_11_a_dry_run_is_written_down_and_no_cap_counts_it(changes: dict[str, Any]) -> None:
    tried = policy(COUPON, changes, dry_run=not changes)
    stored = Stored()
    first, second = run([LAPSING, Event(lapse_30d=0.4, hour=1)], tried, stored)
    assert {(d.outcome, d.reason, d.propensity) for d in (first, second)} == {("held_back", "dry_run", 1.0)}
    assert first.send_after == first.event_time
    assert stored.values == {}
    assert found([Event(lapse_30d=0.4, hour=2, id="x")], policy(COUPON), stored) == ["emitted"]


def test_row_23_robots_and_staff_get_nothing() -> None:
    guarded = policy(COUPON, bots={"user_ids": ["test-*", "*[bot]"], "properties": ["staff"]})
    events = [
        Event(user="test-7", lapse_30d=0.4),
        Event(user="crawler[bot]", lapse_30d=0.4),
        Event(user="ann", lapse_30d=0.4, properties=(("staff", "True"),)),
        Event(user="bob", lapse_30d=0.4, properties=(("staff", "no"),)),
        Event(user="a-test-7", lapse_30d=0.4),
    ]
    assert found(events, guarded) == ["bot", "bot", "bot", "emitted", "emitted"]


@pytest.mark.parametrize(
    ("events", "minutes", "reason"),
    [(29, 0.0, "emitted"), (30, 0.0, "bot"), (30, 3.0, "emitted"), (31, 3.0, "bot"), (500, 49.0, "bot")],
)
def test_row_23_more_events_a_minute_than_a_person_makes(events: int, minutes: float, reason: str) -> None:
    rules = compiled(document(frequency_caps=[], bots={"events_per_minute": 10.0}))
    act = Event(lapse_30d=0.4, events=events, hour=1, first=1 - minutes / 60)
    assert [decision.reason for decision in run([act], rules)] == [reason]


def test_row_23_a_robot_is_no_part_of_the_holdout() -> None:
    guarded = policy(COUPON, bots={"user_ids": ["u"]}, holdout={"salt": "s", "share": 0.99})
    assert found([LAPSING], guarded) == ["bot"]
    assert found([Event(kind="consent", consent=("all", False)), LAPSING], guarded) == ["no_consent"]


@pytest.mark.parametrize(
    ("audience", "fits", "not_"),
    [
        ({"events_at_least": 3, "events_at_most": 5}, {"events": 3}, {"events": 6}),
        ({"sessions_at_most": 1}, {"sessions": 1}, {"sessions": 2}),
        ({"bought": False}, {}, {"bought": -900.0}),
        ({"bought": True}, {"bought": -900.0}, {}),
        ({"categories": ["BEEF"]}, {"category": "BEEF"}, {"category": None}),
        ({"devices": ["app", "mobile"]}, {"device": "app"}, {"device": "desktop"}),
        ({"user_ids": ["de-*", "at-*"]}, {"user": "at-1"}, {"user": "fr-1"}),
    ],
)
def test_audience(audience: dict[str, Any], fits: dict[str, Any], not_: dict[str, Any]) -> None:
    chosen = policy(COUPON, {"audience": audience})
    assert found([Event(lapse_30d=0.4, **fits)], chosen) == ["emitted"]
    assert found([Event(lapse_30d=0.4, **not_)], chosen) == ["not_eligible"]
