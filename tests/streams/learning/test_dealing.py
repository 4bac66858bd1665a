"""Arms drawn by event: with the chance that is logged, alike in a replay, never from what does not fit."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.decide import Decision
from streams.learning.dealing import SHARES, Dealer
from streams.learning.state import Learnt
from streams.policy import Policy
from tests.streams.decide_cases import TASKS, Event, Stored, document, passed, run
from tests.streams.learning.cases import ARMS, LEARNING, campaign_of, compiled, learning, preferring

PROBABILITY = st.floats(0, 1, width=32)
PUSHES = [{"name": "nothing", "share": 50, "nothing": True}, {"name": "late", "share": 50}]


def dealer(policy: Policy, *states: Learnt) -> Dealer:
    return Dealer(campaign_of(policy), states[0] if states else None, TASKS)


def moments(count: int, **changes: Any) -> list[Event]:
    return [Event(user=f"u{n}", id=f"e{n}", lapse_30d=0.9, hour=n / 1000, **changes) for n in range(count)]


@given(
    st.dictionaries(st.sampled_from(TASKS), PROBABILITY, min_size=4),
    st.integers(0, 1 << 41),
    st.sampled_from(["thompson", "linucb", "greedy"]),
    st.floats(0.5, 100),
)
def test_chances_sum_to_1_and_no_arm_falls_below_the_floor(
    scores: dict[str, float], time: int, method: str, floor: float
) -> None:
    policy = learning(method=method, floor=floor)
    chances = dealer(policy, preferring(policy, "five", 30)).chances(scores, time, "Europe/Rome")
    assert sum(chances.values()) == pytest.approx(1.0, abs=1e-12)
    assert min(chances.values()) >= floor / 100 / 3 - 1e-12


def test_the_chance_that_is_logged_is_the_one_that_an_arm_has() -> None:
    policy = learning(share=0.2)
    rules = compiled(policy, preferring(policy, "five", 40))
    decisions = [one for one in run(moments(4000), rules) if one.reason in ("emitted", "control")]
    (version,) = {one.learned_version for one in decisions}
    counts, chances = (
        Counter(one.arm for one in decisions),
        {one.arm: one.propensity / 0.8 for one in decisions},
    )
    assert version == preferring(policy, "five", 40).version
    assert sum(chances.values()) == pytest.approx(1.0)
    for arm, chance in chances.items():
        spread = (chance * (1 - chance) / len(decisions)) ** 0.5
        assert abs(counts[arm] / len(decisions) - chance) < 4 * spread + 1e-9, arm
    assert counts["five"] > 0.9 * len(decisions)
    assert {one.coupon_value for one in decisions if one.arm == "five"} == {5.0}
    assert {one.reason for one in decisions if one.arm == "nothing"} == {"control"}


def test_the_same_event_gets_the_same_arm_whatever_batch_it_comes_in() -> None:
    policy = learning()
    rules, events = compiled(policy, preferring(policy, "two", 40)), moments(60)

    def arms(decisions: list[Decision]) -> list[tuple[str, str, float]]:
        return [(one.event_id, one.arm, one.propensity) for one in decisions]

    one_by_one = Stored()
    assert arms(run(events, rules)) == arms(
        [one for event in events for one in run([event], rules, one_by_one)]
    )


def test_a_shopper_gets_several_arms_and_the_shares_hold_until_enough_was_learnt() -> None:
    policy = learning()
    state = preferring(policy, "five", 9)  # 10 are wanted
    events = [Event(user="u", id=f"e{n}", lapse_30d=0.9, hour=n) for n in range(1000)]
    decisions = run(events, compiled(policy, state))
    shares = {arm["name"]: arm["share"] / 100 for arm in ARMS}
    assert {one.learned_version for one in decisions} == {SHARES}
    assert {one.arm: one.propensity for one in decisions} == pytest.approx(shares)
    counts = Counter(one.arm for one in decisions)
    assert all(abs(counts[arm] / 1000 - share) < 0.06 for arm, share in shares.items())


def test_without_learning_the_arm_is_the_shoppers() -> None:
    policy = learning()
    experiment = campaign_of(policy).experiment
    assert experiment is not None
    still = campaign_of(policy).model_copy(
        update={"experiment": experiment.model_copy(update={"learning": None})}
    )
    decisions = run(
        [Event(id=f"e{n}", lapse_30d=0.9, hour=n) for n in range(50)],
        compiled(policy.model_copy(update={"campaigns": [still]})),
    )
    assert len({one.arm for one in decisions}) == 1
    assert {one.learned_version for one in decisions} == {""}


@pytest.mark.parametrize(
    ("changed", "tasks", "why"),
    [
        ([*ARMS[:2], {"name": "five", "share": 20, "payload": {"value": 6.0}}], TASKS, "other arms"),
        (
            [{"name": "nothing", "share": 40, "nothing": True}, {"name": "two", "share": 60}],
            TASKS,
            "other arms",
        ),
        (ARMS, (*TASKS, "buy_1d"), "the release has logit buy_1d"),
    ],
)
def test_what_does_not_fit_is_named_and_not_used(changed: Any, tasks: tuple[str, ...], why: str) -> None:
    rules = compiled(learning(changed), preferring(learning(), "five"), tasks=tasks)
    assert why in rules.misfits["winback"]
    if tasks == TASKS:
        assert {one.learned_version for one in run(moments(20), rules)} == {SHARES}


def test_another_margin_share_is_dealt_by_the_shares_as_the_learner_begins_anew() -> None:
    rules = compiled(learning(margin_share=0.1), preferring(learning(), "five"))
    assert rules.misfits["winback"].endswith("with margin_share 0.5; the policy has 0.1")
    assert {one.learned_version for one in run(moments(20), rules)} == {SHARES}


def test_a_pause_begun_under_a_release_with_other_scores_is_dealt_by_the_shares() -> None:
    policy = learning()
    found = dealer(policy, preferring(policy, "five"))
    assert found.draw(0.1, dict.fromkeys(TASKS[1:], 0.5), 0, "UTC") == ("five", 0.2, SHARES)
    assert found.draw(0.1, dict.fromkeys(TASKS, 0.5), 0, "UTC").learned_version != SHARES


def test_the_order_and_the_shares_of_arms_can_change_without_learning_anew() -> None:
    other = [{**arm, "share": share} for arm, share in zip(reversed(ARMS), (10, 10, 80), strict=True)]
    assert compiled(learning(other), preferring(learning(), "five")).misfits == {}


def test_a_message_that_waits_keeps_its_arm_and_its_chance() -> None:
    policy, stored = learning(PUSHES, campaign=1), Stored()
    before, after = (compiled(policy, preferring(policy, arm)) for arm in ("late", "nothing"))
    waiting = [one for one in run([Event(buy_7d=0.2, id="e1")], before, stored) if one.reason == "deferred"]
    stored.reopen()
    (sent,) = passed(stored, 10, after)
    (first,) = waiting
    assert (sent.reason, sent.arm, sent.propensity, sent.learned_version) == (
        "emitted",
        "late",
        first.propensity,
        first.learned_version,
    )
    assert first.propensity > 0.9


def test_a_message_that_waits_in_an_arm_that_is_gone_is_withdrawn() -> None:
    policy, stored = learning(PUSHES, campaign=1), Stored()
    run([Event(buy_7d=0.2, id="e1")], compiled(policy, preferring(policy, "late")), stored)
    renamed = [PUSHES[0], {"name": "later", "share": 50}]
    (decision,) = passed(stored, 10, compiled(learning(renamed, campaign=1)))
    assert decision.reason == "withdrawn"


def withholding(**changes: Any) -> Any:
    """The coupon, which nobody gets, or the push, by learning; a cooldown of 10 h."""
    source = document(holdout={"salt": "s", "share": 0.0}, **{"frequency_caps": []} | changes)
    arms = [{"name": "nothing", "share": 99.999999, "nothing": True}, {"name": "some", "share": 0.000001}]
    coupon = source["campaigns"][0] | {"cooldown_hours": 10, "attribution_hours": 5}
    coupon["experiment"] = {"salt": "x", "arms": arms, "learning": LEARNING}
    return source | {"campaigns": [coupon, *source["campaigns"][1:]]}


def test_who_was_drawn_to_get_nothing_is_not_drawn_again_within_the_cooldown() -> None:
    events = [Event(id=f"e{hour}", lapse_30d=0.9, hour=hour) for hour in (0, 0.1, 9, 11)]
    decisions = run(events, compiled(Policy.model_validate(withholding())))
    assert [one.reason for one in decisions] == ["control", "cooldown", "cooldown", "control"]


def test_being_drawn_to_get_nothing_counts_for_no_cap_and_no_other_campaign() -> None:
    caps = [{"count": 1, "hours": 48, "kinds": ["coupon", "push"]}]
    source = withholding(frequency_caps=caps, kind_cooldowns={"push": 48, "coupon": 48})
    events = [
        Event(id="e0", lapse_30d=0.9, hour=0),
        Event(id="e1", lapse_30d=0.9, hour=11),
        Event(id="e2", kind="click", buy_7d=0.2, buy_3d=0.0, hour=12),
    ]
    decisions = run(events, compiled(Policy.model_validate(source)))
    assert [(one.campaign, one.reason) for one in decisions] == [
        ("winback", "control"),
        ("winback", "control"),
        ("reminder", "deferred"),
    ]


def test_without_learning_nothing_is_remembered_of_who_gets_nothing() -> None:
    source = withholding()
    del source["campaigns"][0]["experiment"]["learning"]
    events = [Event(id=f"e{hour}", lapse_30d=0.9, hour=hour) for hour in (0, 0.1)]
    assert [one.reason for one in run(events, compiled(Policy.model_validate(source)))] == ["control"] * 2


def test_a_message_whose_arm_was_the_shoppers_keeps_it_where_arms_are_learnt_by_then() -> None:
    learns = learning(PUSHES, 1)
    experiment = campaign_of(learns).experiment
    assert experiment is not None
    before = campaign_of(learns).model_copy(
        update={"experiment": experiment.model_copy(update={"learning": None})}
    )
    stored = Stored()
    events = [Event(user=f"u{n}", kind="click", buy_7d=0.2, buy_3d=0.0, id=f"e{n}") for n in range(40)]
    first = run(events, compiled(learns.model_copy(update={"campaigns": [before]})), stored)
    waits = {one.user_id for one in first if one.reason == "deferred"}
    assert 0 < len(waits) < 40
    rung = run([Event(user="z", hour=48, id="z")], compiled(learns), stored)
    assert {one.user_id for one in rung if one.campaign == "reminder"} == waits
    assert {(one.reason, one.arm, one.learned_version) for one in rung if one.campaign == "reminder"} == {
        ("emitted", "late", "")
    }
