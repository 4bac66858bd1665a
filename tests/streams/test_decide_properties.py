"""What must hold of deciding whatever comes: any events, any order of times, any cut of the log into batches."""

import itertools
from collections import defaultdict
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.decide import CompiledPolicy, Decision, decide, is_held_out
from tests.streams.decide_cases import HOUR, NOON, Event, Stored, compiled, document, passed, scored

USERS = ("ann", "bob")
levels = st.sampled_from([0.1, 0.3, 0.35, 0.5, 0.7])
hours = st.integers(-100, 300).map(float)  # in no order: events come late
consents = st.tuples(st.sampled_from(["coupon", "push", "rerank", "all"]), st.booleans())
acts = st.builds(
    Event,
    user=st.sampled_from(USERS),
    kind=st.sampled_from(["purchase", "purchase", "click", "click", "search"]),
    hour=hours,
    lapse_30d=levels,
    buy_7d=levels,
    buy_3d=levels,
)
tellings = st.builds(
    Event, user=st.sampled_from(USERS), kind=st.just("consent"), hour=hours, consent=consents
)
logs = st.one_of(  # long ones, or the rules seldom meet; short ones, so that a fault is shown small
    st.lists(st.one_of(acts, acts, acts, tellings), max_size=10),
    st.lists(st.one_of(acts, acts, acts, acts, acts, acts, tellings), min_size=40, max_size=40),
)
share = st.sampled_from([0.0, 0.0, 0.4])
consent_defaults = st.sampled_from(["opt_out", "opt_out", "opt_in"])
caps = st.lists(
    st.fixed_dictionaries(
        {
            "count": st.integers(1, 3),
            "hours": st.sampled_from([5, 24, 100]),
            "kinds": st.sampled_from(
                [["coupon"], ["push"], ["coupon", "push"], ["coupon", "push", "rerank"]]
            ),
        }
    ),
    max_size=3,
)


@st.composite
def policies(draw: st.DrawFn, pauses: bool = True) -> CompiledPolicy:
    source = document(
        holdout={"salt": draw(st.sampled_from("abc")), "share": draw(share)},
        frequency_caps=draw(caps),
        consent={kind: draw(consent_defaults) for kind in ("coupon", "push", "rerank")},
    )
    for campaign in source["campaigns"]:
        campaign["cooldown_hours"] = draw(st.sampled_from([0, 5, 24, 100]))
        campaign["priority"] = draw(st.integers(0, 2))
        if pauses and campaign["kind"] != "rerank":
            campaign["trigger"]["idle_minutes"] = draw(st.sampled_from([0, 0, 20, 3000]))
    return compiled(source)


def walk(
    log: list[Event], policy: CompiledPolicy, cuts: set[int], capacity: int = 65536, restarts: bool = False
) -> tuple[list[Decision], Any]:
    """Decisions over the log cut into batches after these events, and what is stored in the end."""
    stored = Stored(capacity)
    named = [Event(**{**vars(event), "id": f"e{at}"}) for at, event in enumerate(log)]
    edges = sorted({0, len(log), *(cut for cut in cuts if cut < len(log))})
    decisions = []
    for first, last in itertools.pairwise(edges):
        decisions += decide(scored(named[first:last]), stored.book, policy, NOON)
        stored.commit()
        if restarts:
            mark = stored.book.timers.watermark
            stored.reopen()
            stored.book.timers.watermark = mark
    decisions += passed(stored, 1000, policy)
    return decisions, (stored.values, stored.timers)


def sends(decisions: list[Decision]) -> dict[str, list[tuple[str, str, int]]]:
    """(kind, campaign, time at which it goes out) of what each user was sent."""
    out = defaultdict(list)
    for decision in decisions:
        if decision.intervention:
            assert decision.send_after is not None
            out[decision.user_id].append((decision.kind, decision.campaign, decision.send_after))
    return out


@given(logs, policies(), st.sets(st.integers(0, 40)), st.sampled_from([0, 1, 65536]), st.booleans())
def test_where_the_log_is_cut_makes_no_difference(
    log: list[Event], policy: CompiledPolicy, cuts: set[int], capacity: int, restarts: bool
) -> None:
    assert walk(log, policy, cuts, capacity, restarts) == walk(log, policy, set())


@settings(max_examples=300)
@given(logs, policies(), st.sets(st.integers(0, 40)))
def test_no_window_anywhere_holds_more_than_its_cap(
    log: list[Event], policy: CompiledPolicy, cuts: set[int]
) -> None:
    for sent in sends(walk(log, policy, cuts)[0]).values():
        for _, _, start in sent:
            for count, window, kinds in policy.caps:
                assert (
                    sum(kind in kinds and start <= time < start + window for kind, _, time in sent) <= count
                )


@settings(max_examples=300)
@given(logs, policies(), st.sets(st.integers(0, 40)))
def test_two_of_a_campaign_are_never_closer_than_its_cooldown(
    log: list[Event], policy: CompiledPolicy, cuts: set[int]
) -> None:
    for sent in sends(walk(log, policy, cuts)[0]).values():
        for campaign, cooldown in policy.cooldowns.items():
            times = sorted(time for _, name, time in sent if name == campaign)
            assert all(later - earlier >= cooldown for earlier, later in itertools.pairwise(times))


@given(logs, policies())
def test_held_out_shoppers_get_nothing(log: list[Event], policy: CompiledPolicy) -> None:
    holdout = policy.policy.holdout
    assert not any(
        is_held_out(user, holdout.salt, holdout.share) for user in sends(walk(log, policy, {7})[0])
    )


@given(logs, policies(pauses=False))
def test_nothing_without_consent(log: list[Event], policy: CompiledPolicy) -> None:
    said: dict[tuple[str, str], bool] = {}
    decided = defaultdict(list)
    seen = set()
    for decision in walk(log, policy, {3, 20})[0]:
        if (
            decision.event_id,
            decision.campaign,
        ) not in seen:  # else of a message that waited, and heard later words
            decided[decision.event_id].append(decision)
        seen.add((decision.event_id, decision.campaign))
    for at, event in enumerate(log):
        if event.consent:
            channel, granted = event.consent
            for kind in ("coupon", "push", "rerank") if channel == "all" else (channel,):
                said[event.user, kind] = granted
        for decision in decided[f"e{at}"]:
            allowed = said.get((event.user, decision.kind), policy.rules[decision.campaign].consent)
            assert allowed or decision.reason == "no_consent"
            assert allowed == (decision.reason != "no_consent")


@given(logs, policies())
def test_the_kill_switch_stops_all(log: list[Event], policy: CompiledPolicy) -> None:
    stopped = CompiledPolicy(policy.policy.model_copy(update={"kill_switch": True}), policy.tasks)
    decisions, _ = walk(log, stopped, {5})
    assert {decision.reason for decision in decisions} <= {"kill_switch"}


@given(logs, policies(pauses=False), st.sets(st.integers(0, 40)))
def test_every_candidate_has_one_decision_and_an_event_one_intervention(
    log: list[Event], policy: CompiledPolicy, cuts: set[int]
) -> None:
    decisions, _ = walk(log, policy, cuts)
    expected = [
        (f"e{at}", name)
        for at, event in enumerate(log)
        for name, raised in (
            ("winback", event.kind == "purchase" and event.lapse_30d >= 0.3),
            ("reminder", event.kind in ("purchase", "click") and event.buy_7d <= 0.4),
            ("list", event.kind == "click" and 0.2 <= event.buy_3d <= 0.8),
        )
        if raised
    ]
    waiting = {(d.event_id, d.campaign) for d in decisions if d.reason == "deferred"}
    at_once, seen = [], set()
    for d in decisions:  # the second decision of a message that waited tells what became of it
        if (d.event_id, d.campaign) in waiting and (d.event_id, d.campaign) in seen:
            continue
        seen.add((d.event_id, d.campaign))
        at_once.append((d.event_id, d.campaign))
    assert at_once == expected
    assert len({d.decision_id for d in decisions}) == len(decisions)
    emitted = [d for d in decisions if d.intervention]
    assert len({d.event_id for d in emitted}) == len(emitted)
    assert len({d.intervention.intervention_id for d in emitted if d.intervention}) == len(emitted)
    assert all(
        (d.outcome == "emit") == (d.intervention is not None) and 0 < d.propensity <= 1 for d in decisions
    )
    assert all(
        d.intervention.expires_at > d.event_time >= NOON - 100 * HOUR for d in emitted if d.intervention
    )
