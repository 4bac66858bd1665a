"""Each rule of deciding, in its place in the order, on small batches."""

import uuid

import numpy as np
import pytest

from models.predictions import NAMESPACE
from streams.decide import CompiledPolicy, decide, is_held_out
from streams.interventions import decision_row, intervention_row
from tests.streams.decide_cases import (
    NOON,
    TASKS,
    Event,
    Stored,
    codec,
    compiled,
    document,
    reasons,
    run,
    scored,
    sent,
)

LAPSING = Event(lapse_30d=0.4)
# `printf s:anna | sha256sum` and `printf t:anna | sha256sum`: the first 8 bytes as a fraction of 2^64
HASH_S, HASH_T = 0x45FA2AE239A2B78C / 2**64, 0x88730B6982BB6983 / 2**64


def test_emits_when_every_rule_is_met() -> None:
    (decision,) = run([LAPSING])
    assert (decision.outcome, decision.reason, decision.eligible) == ("emit", "emitted", ["winback"])
    assert decision.value == pytest.approx(20 * 0.4 * 0.1 - 0.5)
    assert (decision.cost, decision.threshold, decision.release) == (0.5, 0.3, "r1")
    assert decision.score == pytest.approx(0.4)
    assert decision.scores == pytest.approx({"buy_3d": 1.0, "buy_7d": 1.0, "buy_30d": 1.0, "lapse_30d": 0.4})
    assert decision.intervention is not None


def test_ids_are_uuid5_of_event_and_campaign() -> None:
    (decision,) = run([LAPSING])
    assert decision.decision_id == str(uuid.uuid5(NAMESPACE, "decision:e0:winback"))
    assert decision.intervention is not None
    assert decision.intervention.intervention_id == str(uuid.uuid5(NAMESPACE, "intervention:e0:winback"))


@pytest.mark.parametrize(
    "event",
    [
        Event(kind="click", lapse_30d=0.9),  # not the type
        Event(lapse_30d=0.29),  # not the score
        Event(lapse_30d=float("nan"), buy_7d=float("nan")),
        Event(kind="click", buy_3d=0.1),  # below the band
        Event(kind="click", buy_3d=0.9),  # above the band
        Event(kind="unknown", lapse_30d=0.9, buy_7d=0.1),
    ],
)
def test_no_decision_without_a_trigger(event: Event) -> None:
    assert run([event]) == []


def test_a_score_on_the_bound_meets_it() -> None:
    assert len(run([Event(lapse_30d=0.3)])) == len(run([Event(buy_7d=0.4)])) == 1


def test_global_kill_switch_stops_everything_and_is_written_down() -> None:
    events = [LAPSING, Event(kind="click", buy_3d=0.5)]
    assert reasons(run(events, compiled(document(kill_switch=True)))) == [
        ("winback", "kill_switch"),
        ("list", "kill_switch"),
    ]


def test_a_campaigns_kill_switch_stops_it_alone() -> None:
    source = document()
    source["campaigns"][0]["enabled"] = False
    assert reasons(run([Event(lapse_30d=0.4, buy_7d=0.1)], compiled(source))) == [
        ("winback", "kill_switch"),
        ("reminder", "deferred"),
    ]


def test_consent_counts_from_its_place_in_the_log() -> None:
    refusal = Event(kind="consent", hour=9, consent=("coupon", False))  # its own time does not matter
    events = [LAPSING, refusal, Event(lapse_30d=0.4, hour=200), Event(user="other", lapse_30d=0.4)]
    assert [d.reason for d in run(events)] == ["emitted", "no_consent", "emitted"]


def test_consent_after_the_last_candidate_is_kept() -> None:
    stored = Stored()
    run([LAPSING, Event(kind="consent", consent=("all", False))], stored=stored)
    assert [d.reason for d in run([Event(lapse_30d=0.4, hour=200, id="x")], stored=stored)] == ["no_consent"]


def test_opt_in_waits_for_a_yes() -> None:
    policy = compiled(document(consent={"push": "opt_out"}))
    yes = Event(kind="consent", consent=("coupon", True))
    assert [d.reason for d in run([LAPSING, yes, LAPSING], policy)] == ["no_consent", "emitted"]


def test_holdout_logs_its_share_as_propensity() -> None:
    policy = compiled(document(holdout={"salt": "s", "share": 0.25}))
    decisions = run([Event(user=f"u{n}", lapse_30d=0.4) for n in range(400)], policy)
    held = [d for d in decisions if d.reason == "holdout"]
    assert 60 < len(held) < 140
    assert {d.propensity for d in held} == {0.25}
    assert {d.propensity for d in decisions if d.outcome == "emit"} == {0.75}
    assert all(d.intervention is None for d in held)


def test_holdout_is_the_documented_hash() -> None:
    assert is_held_out("anna", "s", HASH_S + 1e-9)
    assert not is_held_out("anna", "s", HASH_S - 1e-9)
    assert is_held_out("anna", "t", HASH_T + 1e-9)
    assert not is_held_out("anna", "t", HASH_T - 1e-9)
    assert not any(is_held_out(str(n), "s", 0.0) for n in range(1000))


def test_value_below_the_minimum_is_nothing() -> None:
    (decision,) = run([Event(lapse_30d=0.34)])  # 20 * .34 * .1 - .5 = .18 < .2
    assert (decision.outcome, decision.reason, decision.propensity) == ("nothing", "below_value", 1.0)


def test_value_may_rest_on_another_score() -> None:
    source = document()
    source["campaigns"][1]["value"]["score"] = "buy_3d"
    (decision,) = run([Event(buy_7d=0.1, buy_3d=0.5)], compiled(source))
    assert decision.value == pytest.approx(10 * 0.5 * 0.1 - 0.01)
    assert decision.score == pytest.approx(0.1)


def test_priority_then_value_wins_and_the_rest_is_outranked() -> None:
    both = run([Event(lapse_30d=0.4, buy_7d=0.1)])
    assert reasons(both) == [("winback", "emitted"), ("reminder", "outranked")]
    assert both[0].eligible == both[1].eligible == ["winback", "reminder"]
    same_priority = run([Event(kind="click", buy_7d=0.1, buy_3d=0.8)])  # values .09 and .80
    assert reasons(same_priority) == [("reminder", "outranked"), ("list", "emitted")]


def test_nobody_takes_the_place_of_a_winner_that_must_wait() -> None:
    both = Event(lapse_30d=0.4, buy_7d=0.1)
    assert [d.reason for d in run([both, both])] == ["emitted", "outranked", "frequency_cap", "outranked"]


def test_a_campaign_with_nothing_to_offer_does_not_outrank() -> None:
    batch = scored([Event(kind="click", buy_7d=0.1, buy_3d=0.8)])
    batch.popular = {}
    assert reasons(decide(batch, Stored().book, compiled(), NOON)) == [
        ("reminder", "deferred"),
        ("list", "no_candidates"),
    ]


def test_cooldown_holds_from_the_last_of_the_same_campaign() -> None:
    policy = compiled(document(frequency_caps=[]))
    events = [Event(lapse_30d=0.4, hour=hour) for hour in (0, 99.9, 100)]
    assert [d.reason for d in run(events, policy)] == ["emitted", "cooldown", "emitted"]


def test_frequency_cap_counts_its_kinds_over_all_campaigns() -> None:
    push = [Event(buy_7d=0.1, hour=hour) for hour in (0, 24)]
    coupon = [Event(lapse_30d=0.4, hour=hour) for hour in (48, 73.5)]
    lists = [Event(kind="click", buy_3d=0.5, hour=48)]
    assert [d.reason for d in run([*push, *lists, *coupon])] == [
        "deferred",
        "emitted",  # the first, 90 minutes after its event
        "deferred",
        "emitted",
        "emitted",  # a list is exempt
        "frequency_cap",
        "emitted",  # 72 h after the first push went out, 90 minutes after its event
    ]


def test_a_late_event_sees_what_was_sent_after_it() -> None:
    policy = compiled(document(frequency_caps=[]))
    events = [Event(lapse_30d=0.4, hour=hour) for hour in (0, 150, 60, -500)]
    assert [d.reason for d in run(events, policy)] == ["emitted", "emitted", "cooldown", "cooldown"]


def test_a_late_event_still_finds_its_own_past() -> None:
    source = document(frequency_caps=[{"count": 3, "hours": 100}])
    source["campaigns"][0]["cooldown_hours"] = 0
    events = [Event(lapse_30d=0.4, hour=hour) for hour in (0, 10, 20, 110, 15)]
    assert [d.reason for d in run(events, compiled(source))] == ["emitted"] * 4 + ["frequency_cap"]


def test_an_aborted_batch_decides_the_same_again() -> None:
    stored = Stored()
    batch = scored([LAPSING, LAPSING, Event(user="v", lapse_30d=0.5)])
    first = decide(batch, stored.book, compiled(), NOON)
    stored.book.discard()
    assert decide(batch, stored.book, compiled(), NOON) == first


def test_scores_of_other_tasks_are_refused() -> None:
    batch = scored([LAPSING])
    batch.tasks = ("churn",)
    batch.scores = np.ones((1, 1), np.float32)
    with pytest.raises(ValueError, match="compile it again"):
        decide(batch, Stored().book, compiled(), NOON)
    with pytest.raises(ValueError, match=r"campaigns.0.trigger.score: unknown score 'lapse_30d'"):
        CompiledPolicy(compiled().policy, ("buy_3d", "buy_7d"))


def test_an_empty_batch_and_an_empty_policy_decide_nothing() -> None:
    assert run([]) == []
    assert run([LAPSING], CompiledPolicy(compiled(document(campaigns=[])).policy, TASKS)) == []


def test_rows_fit_the_schemas() -> None:
    decisions = sent(
        [Event(lapse_30d=0.4, buy_7d=0.1), Event(kind="click", buy_3d=0.5), Event(user="v", buy_7d=0.1)]
    )
    rows = [decision_row(d) for d in decisions]
    back = codec("decision").decode_rows(codec("decision").encode_rows(rows))
    assert [(r["reason"], r["kind"], r["outcome"], r["event_time"]) for r in back] == [
        (d.reason, d.kind, d.outcome, d.event_time) for d in decisions
    ]
    assert back[0]["intervention_id"] == rows[0]["intervention_id"]
    assert back[1]["intervention_id"] is None
    made = [intervention_row(d.intervention) for d in decisions if d.intervention]
    assert [r["kind"] for r in made] == ["coupon", "rerank", "push"]
    for row, again in zip(
        made, codec("intervention").decode_rows(codec("intervention").encode_rows(made)), strict=True
    ):
        payload = again[row["kind"]]
        assert [kind for kind in ("coupon", "push", "rerank") if again[kind] is not None] == [row["kind"]]
        assert payload.keys() == row[row["kind"]].keys()
        assert (again["expires_at"], again["reason"]) == (row["expires_at"], row["reason"])
