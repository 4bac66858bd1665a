"""Budgets: shares of partitions, books by day, pacing, and that money is never spent twice nor over the bound."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from streams.budgets import KEY, Budgets
from streams.compiled import CompiledPolicy
from streams.contacts import FORGET, Said
from streams.decide import Decision
from streams.policy import Policy
from tests.streams.decide_cases import DAY, NOON, Event, Stored, compiled, document, passed, run

COUPON, PUSH = 0, 1


def budgeted(
    campaign: int = COUPON, cost: float = 0.5, changes: dict[str, Any] | None = None, **budget: Any
) -> CompiledPolicy:
    """One campaign with this budget and nothing else that holds it back."""
    source = document(frequency_caps=[])
    chosen = {**source["campaigns"][campaign], "cooldown_hours": 0, "budget": {"pacing": "none", **budget}}
    chosen["value"] = {"margin_per_conversion": 100, "lift": 0.1, "cost_per_contact": cost}
    source["campaigns"] = [{**chosen, **(changes or {})}]
    return compiled(source)


def lapsing(number: int, hour: float = 0.0, **more: Any) -> list[Event]:
    return [Event(user=f"u{n}", lapse_30d=0.4, hour=hour, id=f"{hour}-{n}", **more) for n in range(number)]


def counts(decisions: list[Decision]) -> dict[str, int]:
    reasons = [decision.reason for decision in decisions]
    return {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)}


def test_money_ends_and_the_rest_is_held_back_with_its_reason() -> None:
    decisions = run(lapsing(10), budgeted(money=2.2))
    assert [d.reason for d in decisions] == ["emitted"] * 4 + ["budget"] * 6  # a fifth would make 2.50
    assert {d.outcome for d in decisions[4:]} == {"held_back"}


def test_a_count_ends_and_both_may_be_limited() -> None:
    assert counts(run(lapsing(10), budgeted(count=3))) == {"emitted": 3, "budget": 7}
    assert counts(run(lapsing(10), budgeted(count=3, money=1.0))) == {"emitted": 2, "budget": 8}


def test_a_sum_of_cents_spends_the_whole_budget() -> None:
    assert counts(run(lapsing(12), budgeted(cost=0.1, money=1.0))) == {"emitted": 10, "budget": 2}


def test_every_day_has_its_own_and_a_late_event_is_charged_to_its_day() -> None:
    stored, policy = Stored(), budgeted(count=2)
    assert counts(run(lapsing(3), policy, stored)) == {"emitted": 2, "budget": 1}
    assert counts(run(lapsing(3, hour=24), policy, stored)) == {"emitted": 2, "budget": 1}
    assert counts(run(lapsing(1, hour=1), policy, stored)) == {"budget": 1}
    assert counts(run(lapsing(3, hour=-24), policy, stored)) == {"emitted": 2, "budget": 1}
    run(lapsing(1, hour=48), policy, stored)
    assert counts(run(lapsing(1, hour=-24), policy, stored)) == {"budget": 1}  # closed


def test_the_day_is_that_of_the_policys_time_zone() -> None:
    source = budgeted(count=1).policy.written() | {"time_zone": "Asia/Tokyo"}  # NOON is 21:00 there
    policy = compiled(source)
    assert counts(run([*lapsing(1), *lapsing(1, hour=2.9), *lapsing(1, hour=3)], policy)) == {
        "emitted": 2,
        "budget": 1,
    }


@given(st.integers(1, 12), st.integers(0, 40), st.floats(0, 50))
def test_the_shares_of_all_partitions_are_the_budget(partitions: int, count: int, money: float) -> None:
    campaign = budgeted(count=count, money=money).campaigns[0]
    shares = [Budgets(None, at, partitions).share(campaign) for at in range(partitions)]
    assert sum(share.count for share in shares) == count
    assert math.fsum(share.money for share in shares) == pytest.approx(money)
    assert max(share.count for share in shares) - min(share.count for share in shares) <= 1


def test_what_was_spent_survives_a_crash_and_what_was_not_committed_is_not_spent() -> None:
    stored, policy = Stored(), budgeted(count=3)
    run(lapsing(2), policy, stored)
    stored.reopen()
    assert counts(run(lapsing(2, hour=1), policy, stored)) == {"emitted": 1, "budget": 1}
    stored = Stored()
    run(lapsing(2), policy, stored)
    before = stored.book.budgets.spent()
    from streams.decide import decide
    from tests.streams.decide_cases import scored

    decide(scored(lapsing(1, hour=1)), stored.book, policy, NOON)
    stored.book.discard()
    assert stored.book.budgets.spent() == before
    assert stored.book.budgets.end() == {}


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 71), st.floats(0.3, 1.0)), max_size=120),
    st.floats(0, 12),
    st.integers(0, 12),
    st.sampled_from(["even", "none"]),
    st.lists(st.sampled_from(["go on", "crash", "abort"]), min_size=1, max_size=6),
)
def test_never_more_than_the_budget_whatever_crashes(
    log: list[tuple[int, int, float]], money: float, count: int, pacing: str, fates: list[str]
) -> None:
    """Four partitions, each with its own store; a batch is committed, or lost with its process, or aborted and done again."""
    policy = budgeted(money=money, count=count, pacing=pacing)
    shops = [Stored(partition=at, partitions=4) for at in range(4)]
    sent: dict[str, list[float]] = {}
    for at, (partition, hour, score) in enumerate(log):
        stored, event = shops[partition], Event(user=f"u{at}", hour=float(hour), lapse_30d=score, id=f"e{at}")
        fate = fates[at % len(fates)]
        if fate != "go on":
            from streams.decide import decide
            from tests.streams.decide_cases import scored

            decide(scored([event]), stored.book, policy, NOON)
            stored.book.discard()
            if fate == "crash":
                stored.reopen()
        for decision in run([event], policy, stored):
            if decision.intervention:
                sent.setdefault(str(decision.event_time // DAY), []).append(decision.cost)
    assert all(math.fsum(costs) <= money + 1e-6 and len(costs) <= count for costs in sent.values())


def test_a_message_that_waits_has_been_paid_and_what_calls_it_back_pays_back() -> None:
    trigger = {"event_types": ["click"], "score": "buy_7d", "at_most": 0.4}
    policy = budgeted(PUSH, 0.01, {"trigger": trigger, "cooldown_after_purchase_hours": 24}, count=1)
    stored = Stored()
    clicks = [Event(user=user, kind="click", buy_7d=0.1, id=user) for user in ("a", "b")]
    assert counts(run(clicks, policy, stored)) == {"deferred": 1, "budget": 1}
    run([Event(user="a", hour=1, buy_7d=1, id="p")], policy, stored)
    assert [d.reason for d in passed(stored, 2, policy)] == ["after_purchase"]
    again = Event(user="c", kind="click", buy_7d=0.1, hour=3, id="c")
    assert counts(run([again], policy, stored)) == {"deferred": 1}
    assert [d.reason for d in passed(stored, 24, policy)] == ["emitted"]
    assert list(stored.book.budgets.spent()["reminder"].values()) == [(pytest.approx(0.01), 1)]


def test_what_is_paid_back_is_what_was_paid_though_the_price_has_changed() -> None:
    """A message of 0.10 that waits cannot bring back 1.00."""
    trigger = {"event_types": ["click"], "score": "buy_7d", "at_most": 0.4}
    after = {"trigger": trigger, "cooldown_after_purchase_hours": 24}
    cheap, dear = (budgeted(PUSH, cost, after, money=10.0) for cost in (0.1, 1.0))
    stored = Stored()
    clicks = [Event(user=f"a{n}", kind="click", buy_7d=0.1, id=f"a{n}") for n in range(10)]
    assert counts(run(clicks, cheap, stored)) == {"deferred": 10}
    run([Event(user=f"a{n}", hour=0.5, buy_7d=1, id=f"p{n}") for n in range(10)], dear, stored)
    later = [Event(user=f"b{n}", kind="click", hour=1, buy_7d=0.1, id=f"b{n}") for n in range(12)]
    assert counts(run(later, dear, stored)) == {"deferred": 9, "budget": 3}
    assert {d.reason for d in passed(stored, 2, dear)} == {"after_purchase"}
    ((money, count),) = stored.book.budgets.spent()["reminder"].values()
    assert (money, count) == (pytest.approx(9.0), 9)


def test_withdrawn_or_erased_it_is_paid_back_as_well() -> None:
    trigger = {"event_types": ["click"], "score": "buy_7d", "at_most": 0.4}
    policy = budgeted(PUSH, 0.5, {"trigger": trigger}, money=10.0)
    stored = Stored()
    run([Event(user=user, kind="click", buy_7d=0.1, id=user) for user in "ab"], policy, stored)
    stored.book.hear(Said(0, "a", FORGET, True))
    assert {d.reason for d in passed(stored, 24, budgeted(count=1))} == {"withdrawn"}
    assert list(stored.book.budgets.spent()["reminder"].values()) == [(0.0, 0)]


def test_a_budget_that_turns_from_money_to_numbers_goes_on_counting_right() -> None:
    """40.00 of 1,000 are spent on 20 coupons: five of 25 are left, and nothing has run ahead by forty."""
    stored = Stored()
    run(lapsing(20), budgeted(cost=2.0, money=1000.0, pacing="even"), stored)
    found = counts(run(lapsing(10, hour=1), budgeted(cost=2.0, count=25, pacing="even"), stored))
    assert 1 <= found["emitted"] <= 5


def test_dry_runs_and_control_arms_are_asked_but_spend_nothing() -> None:
    dry = budgeted(count=2, changes={"dry_run": True})
    assert counts(run(lapsing(5), dry)) == {"dry_run": 5}
    arms = [{"name": "none", "share": 50, "nothing": True}, {"name": "some", "share": 50}]
    arm = budgeted(count=2, changes={"experiment": {"salt": "s", "arms": arms}})
    decisions = run(lapsing(40), arm)
    assert counts(decisions)["emitted"] == 2
    last = max(at for at, d in enumerate(decisions) if d.reason == "emitted")
    assert {d.reason for d in decisions[last + 1 :]} == {"budget"}  # the control group, too: both are alike


def test_even_pacing_spends_the_budget_over_the_day_and_on_the_better_ones() -> None:
    """The second day knows the first: when candidates come, and what they are worth."""
    policy = budgeted(money=50.0, pacing="even")  # 100 coupons for 1,200 candidates
    stored = Stored()
    for day in range(3):
        sent: list[Decision] = []
        for minute in range(0, 24 * 60, 6):
            events = [
                Event(
                    user=f"{day}-{minute}-{n}",
                    lapse_30d=0.3 + (7 * minute + n) % 10 / 20,
                    hour=24 * day + 12 + minute / 60,
                    id=f"{day}-{minute}-{n}",
                )
                for n in range(5)
            ]
            sent += [d for d in run(events, policy, stored) if d.intervention]
        assert len(sent) <= 100
    assert len(sent) >= 98
    noon = 24 * 2 + 24
    early = sum(d.event_time < NOON + noon * 3_600_000 for d in sent)
    assert 40 <= early <= 60
    assert sum(d.score for d in sent) / len(sent) > 0.65  # the best tenth is .75, all are .525


def test_the_record_is_small_and_comes_back_whole() -> None:
    stored, policy = Stored(), budgeted(money=50.0, pacing="even")
    run(lapsing(300), policy, stored)
    value = stored.timers[KEY]
    assert len(value) < 1500
    assert Budgets(value).spent() == stored.book.budgets.spent()


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({"money": -1}, "greater than or equal to 0"),
        ({"count": -1}, "greater than or equal to 0"),
        ({}, "limits nothing; write money, count, or both"),
        ({"money": 1, "pacing": "fast"}, "'even' or 'none'"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(budget: dict[str, Any], message: str) -> None:
    source = document()
    source["campaigns"][0]["budget"] = budget
    with pytest.raises(ValidationError, match=message):
        Policy.model_validate(source)
