"""What a shopper was promised, whatever comes: events in any order of time, batches cut anywhere, any zone."""

import itertools
from collections import defaultdict
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.compiled import CompiledPolicy
from streams.decide import Decision, is_held_out
from streams.local_time import within
from tests.streams.decide_cases import HOUR, NOON, Event, compiled, document
from tests.streams.test_decide_properties import acts, tellings, walk

ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kathmandu", "UTC")
WINDOWS = (("21:00", "08:00"), ("00:00", "06:30"), ("12:00", "13:00"), ("22:30", "02:30"))

moves = st.builds(
    Event,
    user=st.sampled_from(["ann", "bob"]),
    kind=st.just("search"),
    hour=st.just(0.0),
    properties=st.sampled_from(ZONES).map(lambda name: (("time_zone", name),)),
)
logs = st.one_of(
    st.lists(st.one_of(acts, acts, acts, tellings, moves), max_size=8),
    st.lists(st.one_of(acts, acts, acts, acts, acts, acts, tellings, moves), min_size=40, max_size=40),
)
cuts = st.sets(st.integers(0, 40))


@st.composite
def policies(draw: st.DrawFn) -> CompiledPolicy:
    quiet = st.fixed_dictionaries(
        {
            "window": st.sampled_from(WINDOWS),
            "kinds": st.sampled_from([["push"], ["coupon", "push"], ["coupon", "push", "rerank"]]),
            "weekdays": st.sampled_from([["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ["fri", "sun"]]),
        }
    )
    windows = draw(st.lists(quiet, min_size=1, max_size=2))
    source = document(
        holdout={"salt": draw(st.sampled_from("abc")), "share": draw(st.sampled_from([0.0, 0.0, 0.4]))},
        frequency_caps=[
            {"count": 2, "hours": draw(st.sampled_from([5, 24, 100])), "kinds": ["coupon", "push"]}
        ],
        time_zone=draw(st.sampled_from(ZONES)),
        quiet_hours=[
            {
                "from": one["window"][0],
                "until": one["window"][1],
                "kinds": one["kinds"],
                "weekdays": one["weekdays"],
            }
            for one in windows
        ],
        kind_cooldowns={"push": draw(st.sampled_from([0, 10, 30]))},
        max_age_minutes=draw(st.sampled_from([None, None, 6000])),
    )
    for campaign in source["campaigns"]:
        campaign["cooldown_hours"] = draw(st.sampled_from([0, 5, 24]))
        campaign["dry_run"] = draw(st.sampled_from([False, False, False, True]))
        if campaign["kind"] == "push":
            campaign["in_quiet_hours"] = draw(st.sampled_from(["drop", "defer"]))
        if campaign["kind"] == "coupon" and draw(st.booleans()):
            arms = [{"name": "none", "share": 40, "nothing": True}, {"name": "some", "share": 60}]
            campaign["experiment"] = {"salt": draw(st.sampled_from("xyz")), "arms": arms}
    return compiled(source)


def sent(decisions: list[Decision]) -> list[Decision]:
    return [decision for decision in decisions if decision.intervention is not None]


def out(decision: Decision) -> int:
    """When it reaches the shopper: a message's own send_after, anything else at its event."""
    assert decision.intervention is not None
    push = decision.intervention.push
    return decision.event_time if push is None else int(push["send_after"])


@settings(max_examples=200)
@given(logs, policies(), cuts)
def test_row_3_nothing_reaches_a_shopper_in_quiet_hours(
    log: list[Event], policy: CompiledPolicy, cut: set[int]
) -> None:
    for decision in sent(walk(log, policy, cut)[0]):
        assert decision.intervention is not None
        assert not within(policy.rules[decision.campaign].quiet, out(decision), ZoneInfo(decision.time_zone))
        assert decision.event_time <= out(decision) < decision.intervention.expires_at


@settings(max_examples=200)
@given(logs, policies(), cuts)
def test_rows_1_and_2_no_window_holds_more_than_its_cap_and_no_cooldown_is_broken(
    log: list[Event], policy: CompiledPolicy, cut: set[int]
) -> None:
    by_user: dict[str, list[Decision]] = defaultdict(list)
    for decision in sent(walk(log, policy, cut)[0]):
        by_user[decision.user_id].append(decision)
    for decisions in by_user.values():
        for start in map(out, decisions):
            for count, window, kinds in policy.caps:
                assert sum(d.kind in kinds and start <= out(d) < start + window for d in decisions) <= count
        for kind, cooldown in policy.kind_cooldowns.items():
            times = sorted(out(d) for d in decisions if d.kind == kind)
            assert all(later - earlier >= cooldown for earlier, later in itertools.pairwise(times))
        for campaign, cooldown in policy.cooldowns.items():
            times = sorted(out(d) for d in decisions if d.campaign == campaign)
            assert all(later - earlier >= cooldown for earlier, later in itertools.pairwise(times))


@settings(max_examples=100)
@given(logs, policies(), cuts, st.sampled_from([0, 65536]))
def test_row_5_the_same_log_gives_the_same_decisions_wherever_it_is_cut(
    log: list[Event], policy: CompiledPolicy, cut: set[int], capacity: int
) -> None:
    assert walk(log, policy, cut, capacity) == walk(log, policy, set())


@settings(max_examples=100)
@given(logs, policies(), cuts)
def test_rows_6_and_7_the_held_out_and_control_arms_get_nothing(
    log: list[Event], policy: CompiledPolicy, cut: set[int]
) -> None:
    holdout = policy.policy.holdout
    for decision in sent(walk(log, policy, cut)[0]):
        assert not is_held_out(decision.user_id, holdout.salt, holdout.share)
        assert decision.arm != "none"
        assert not policy.rules[decision.campaign].dry_run


@settings(max_examples=100)
@given(st.lists(acts, max_size=12), st.integers(0, 200))
def test_row_2_nothing_within_the_cooldown_after_a_purchase_known_by_then(
    log: list[Event], window: int
) -> None:
    source: dict[str, Any] = document(frequency_caps=[])
    for campaign in source["campaigns"]:
        campaign["trigger"]["event_types"] = ["click"]
        campaign["cooldown_after_purchase_hours"] = window
    latest: dict[str, float] = {}
    known = []
    for event in log:
        known.append(Event(**{**vars(event), "bought": latest.get(event.user)}))
        if event.kind == "purchase":
            latest[event.user] = max(event.hour, latest.get(event.user, event.hour))
    decisions, _ = walk(known, compiled(source), {5})
    events = {f"e{at}": event for at, event in enumerate(known)}
    for decision in sent(decisions):
        bought = events[decision.event_id].bought
        if bought is not None and window:
            assert decision.event_time >= NOON + bought * HOUR + window * HOUR


@settings(max_examples=150)
@given(st.lists(st.integers(0, 90), min_size=2, max_size=12), st.sampled_from(["cap", "kind"]), cuts)
def test_rows_1_to_3_what_waits_for_the_morning_counts_in_the_morning(
    hours: list[int], rule: str, cut: set[int]
) -> None:
    by_cap = rule == "cap"
    source: dict[str, Any] = document(
        quiet_hours=[{"from": "21:00", "until": "08:00"}],
        frequency_caps=[{"count": 1, "hours": 13, "kinds": ["push"]}] if by_cap else [],
        kind_cooldowns={} if by_cap else {"push": 13},
    )
    push = source["campaigns"][1]
    source["campaigns"] = [{**push, "cooldown_hours": 0, "in_quiet_hours": "defer"}]
    log = [Event(buy_7d=0.1, hour=hour) for hour in hours]
    times = sorted(out(decision) for decision in sent(walk(log, compiled(source), cut)[0]))
    assert all(later - earlier >= 13 * HOUR for earlier, later in itertools.pairwise(times))
