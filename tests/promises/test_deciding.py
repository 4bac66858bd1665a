"""Rows about what is sent and what is not: 1 to 11, 20 to 24."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from models.ope.log import Log
from models.predictions import NAMESPACE
from schemas import avro
from streams.choosing import OUTCOMES
from streams.decide import CompiledPolicy, Decision
from tests.streams.decide_cases import (
    HOUR,
    NOON,
    Event,
    Stored,
    compiled,
    document,
    passed,
    reasons,
    run,
    sent,
)
from tests.streams.live import CODECS, Partition, event, records, release
from tests.streams.test_decide_when import policy as one
from tests.streams.test_deciding_live import click, decisions
from tests.streams.test_deciding_live import policy as live_policy

COUPON, PUSH, RERANK = 0, 1, 2
YES = (("bot", "true"),)


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return release(tmp_path_factory.mktemp("release"))


def told(events: list[Event], rules: CompiledPolicy) -> list[Decision]:
    """Every decision, also of messages whose hour comes after the last event."""
    stored = Stored()
    return [*run(events, rules, stored), *passed(stored, 1000, rules)]


def test_row_01_global_frequency_cap_over_all_channels_with_exempt_kinds() -> None:
    source = document(frequency_caps=[{"count": 1, "hours": 48, "kinds": ["coupon", "push"]}])
    events = [
        Event(lapse_30d=0.5, id="coupon"),
        Event(kind="click", buy_7d=0.1, hour=30, id="push"),
        Event(kind="click", buy_3d=0.5, hour=31, id="list"),
        Event(kind="click", buy_7d=0.1, hour=48, id="later"),
    ]
    assert reasons(told(events, compiled(source))) == [
        ("winback", "emitted"),
        ("reminder", "frequency_cap"),
        ("list", "emitted"),  # its kind is exempt
        ("reminder", "deferred"),  # to go out in 90 minutes
        ("reminder", "emitted"),
    ]


def test_row_02_cooldown_per_kind_and_after_conversion(tmp_path: Path, uri: str) -> None:
    pushes = one(PUSH, kind_cooldowns={"push": 20})
    events = [Event(buy_7d=0.1, hour=hour, id=str(hour)) for hour in (0, 19, 20)]
    assert [d.reason for d in sent(events, pushes)] == ["emitted", "cooldown", "emitted"]
    bought = Partition(tmp_path, uri, policy=live_policy(cooldown_after_purchase_hours=1))
    bought.process(records([event(1, 0), click(1, 30), click(1, 61)]))
    assert [row["reason"] for row in decisions(bought)] == ["after_purchase", "emitted"]


def test_row_03_quiet_hours_in_the_shoppers_time_zone_defer_or_drop() -> None:
    night = [{"from": "21:00", "until": "08:00"}]
    tokyo = (("time_zone", "Asia/Tokyo"),)  # 12:00 UTC is 21:00 there
    for way, expected in (("drop", "quiet_hours"), ("defer", "emitted")):
        rules = one(PUSH, {"in_quiet_hours": way}, quiet_hours=night)
        found = sent([Event(buy_7d=0.1), Event(user="v", buy_7d=0.1, properties=tokyo)], rules)
        home, away = sorted(found, key=lambda decision: decision.user_id)
        assert (home.reason, away.reason) == ("emitted", expected)
    assert away.intervention is not None
    assert away.intervention.push is not None
    assert away.intervention.push["send_after"] == NOON + 11 * HOUR  # 08:00 in Tokyo


def test_row_04_consent_per_channel_and_purpose_from_its_place_in_the_log() -> None:
    service = one(PUSH, {"purpose": "service"}, consent={"push": "opt_out", "service": "opt_out"})
    marketing = one(PUSH, consent={"push": "opt_out", "service": "opt_out"})
    events = [
        Event(buy_7d=0.1, id="before"),
        Event(kind="search", consent=("push:marketing", False)),
        Event(buy_7d=0.1, hour=1, id="after"),
    ]
    assert [d.reason for d in told(events, marketing)] == [
        "deferred",
        "no_consent",
        "no_consent",
    ]  # asked last, too
    assert [d.reason for d in sent(events, service)] == ["emitted", "emitted"]


def test_row_05_ids_survive_crash_and_replay(tmp_path: Path, uri: str) -> None:
    made = Partition(tmp_path, uri, policy=live_policy())
    log = records([click(user, at) for at in range(4) for user in range(3)])
    made.process(log[:6])
    first = decisions(made)
    made.published.clear()
    made.compute(log[6:])  # and the worker dies before its transaction
    begin = made.crash()
    for before in log[begin:]:
        made.process([before])
    again = decisions(made)
    ids = [row["intervention_id"] for row in first + again]
    assert len(set(ids)) == len(ids) == 12, "nothing lost, nothing sent twice"
    for row in first + again:
        wanted = f"intervention:{row['event_id']}:{row['campaign']}"
        assert row["intervention_id"] == str(uuid.uuid5(NAMESPACE, wanted))


def test_row_06_global_holdout_by_salted_hash_is_logged() -> None:
    rules = compiled(document(holdout={"salt": "s", "share": 0.5}))
    events = [Event(user=f"u{at}", lapse_30d=0.5, id=f"e{at}") for at in range(200)]
    first, second = run(events, rules), run(events[::-1], rules)
    held = {d.user_id for d in first if d.reason == "holdout"}
    assert held == {d.user_id for d in second if d.reason == "holdout"}, "the same shoppers every time"
    assert 70 < len(held) < 130
    assert len(first) == 200, "written down also when nothing is sent"
    assert all(d.intervention is None and d.propensity == 0.5 for d in first if d.reason == "holdout")
    other = run(events, compiled(document(holdout={"salt": "t", "share": 0.5})))
    assert held != {d.user_id for d in other if d.reason == "holdout"}


def test_row_07_arms_by_hash_are_sticky_and_salted_per_experiment() -> None:
    arms = [
        {"name": "none", "share": 50, "nothing": True},
        {"name": "five", "share": 50, "payload": {"value": 5.0}},
    ]

    def dealt(salt: str) -> dict[str, str]:
        rules = one(COUPON, {"experiment": {"salt": salt, "arms": arms}})
        events = [Event(user=f"u{at % 100}", lapse_30d=0.5, hour=at // 100, id=f"e{at}") for at in range(200)]
        found = run(events, rules)
        assert {(d.arm, d.reason) for d in found} == {("none", "control"), ("five", "emitted")}
        assert all(
            d.intervention.coupon["value"] == 5.0 for d in found if d.intervention and d.intervention.coupon
        )
        assert all(d.intervention.arm == "five" for d in found if d.intervention), (
            "what an exposure goes back to"
        )
        by_user: dict[str, set[str]] = {}
        for d in found:
            by_user.setdefault(d.user_id, set()).add(d.arm)
        assert all(len(arms) == 1 for arms in by_user.values())
        return {user: arms.pop() for user, arms in by_user.items()}

    assert dealt("spring") == dealt("spring")
    assert dealt("spring") != dealt("summer")


def test_row_08_every_non_action_has_a_reason_that_is_explained() -> None:
    (field,) = [one for one in json.loads(avro.current("decision"))["fields"] if one["name"] == "reason"]
    told = Path("docs/deciding.md").read_text(encoding="utf-8")
    for reason, outcome in OUTCOMES.items():
        assert reason in field["doc"]
        assert f"`{reason}`" in told
        assert (outcome == "emit") == (reason == "emitted")


def test_row_09_the_audit_record_says_by_what_and_why(tmp_path: Path, uri: str) -> None:
    made = Partition(tmp_path, uri, policy=live_policy())
    made.process(records([event(1, 0), click(1, 1)]))
    (row,) = decisions(made)
    assert made.policy is not None
    assert row["release"] == made.model.engine.release_id
    assert row["policy_version"] == made.policy.version
    assert row["score"] == pytest.approx(row["scores"]["lapse_30d"])
    assert row["threshold"] == 0.0
    assert row["why"] == "the only campaign left for the event"
    assert len(row["history_digest"]) == 16
    (prediction,) = [p for p in made.predictions() if p["event_id"] == row["event_id"]]
    assert row["prediction_id"] == prediction["prediction_id"]


def test_row_10_money_and_count_budgets_per_campaign_with_pacing() -> None:
    budget = {"money": 1.0, "count": 30, "pacing": "even"}
    rules = one(COUPON, {"budget": budget})  # a coupon costs 0.50
    events = [Event(user=f"u{at}", lapse_30d=0.5, hour=at / 100, id=f"e{at}") for at in range(100)]
    stored = Stored()
    first = run(events[:50], rules, stored)
    stored.reopen()  # a crash
    found = [*first, *run(events[50:], rules, stored)]
    assert sum(d.cost for d in found if d.intervention) == 1.0
    assert {d.reason for d in found if not d.intervention} <= {"budget", "pacing"}


def test_row_11_shadow_of_a_policy_and_of_a_model_send_nothing(tmp_path: Path, uri: str) -> None:
    dry = Partition(tmp_path / "dry", uri, policy=live_policy(dry_run=True))
    dry.process(records([click(1, 0), click(1, 1)]))
    assert [row["reason"] for row in decisions(dry)] == ["dry_run", "dry_run"], "and no cap counts it"
    assert not [value for name, value in dry.published if name == "intervention"]
    other = release(tmp_path / "other", seed=1)
    shadowed = Partition(tmp_path / "shadow", uri, policy=live_policy())
    shadowed.challenge(other)
    shadowed.process(records([click(1, 0)]))
    (said,) = shadowed.predictions("shadow_prediction")
    (decided,) = decisions(shadowed)
    assert said["release"] != decided["release"] == shadowed.model.engine.release_id


def test_row_20_nothing_is_sent_for_what_is_too_old() -> None:
    rules = one(COUPON, max_age_minutes=15)
    found = run([Event(lapse_30d=0.5)], rules, now=NOON + 15 * 60_000 + 1)
    assert [d.reason for d in found] == ["stale"]
    assert [d.reason for d in run([Event(lapse_30d=0.5)], rules, now=NOON + 15 * 60_000)] == ["emitted"]


def test_row_21_logged_propensities_and_eligible_sets_are_what_off_policy_estimates_take() -> None:
    arms = [{"name": "none", "share": 25, "nothing": True}, {"name": "two", "share": 75}]
    source = document(frequency_caps=[], holdout={"salt": "s", "share": 0.2})
    source["campaigns"][0]["experiment"] = {"salt": "x", "arms": arms}
    events = [Event(user=f"u{at}", lapse_30d=0.5, buy_7d=0.9, id=f"e{at}") for at in range(500)]
    found = [d for d in run(events, compiled(source)) if d.campaign == "winback"]
    assert {d.reason: d.propensity for d in found} == pytest.approx(
        {"emitted": 0.6, "control": 0.2, "holdout": 0.2}
    )
    both = run([Event(lapse_30d=0.5, buy_7d=0.1)])
    assert [d.eligible for d in both] == [["winback", "reminder"]] * 2
    done = [int(d.reason == "emitted") for d in found]
    log = Log.of(done, [0.0] * 500, [d.propensity for d in found], 2)
    assert len(log) == 500


def test_row_22_kill_switch_of_one_campaign_and_of_all() -> None:
    events = [Event(lapse_30d=0.5, buy_7d=0.1)]
    stopped: dict[str, Any] = document(kill_switch=True)
    assert {reason for _, reason in reasons(run(events, compiled(stopped)))} == {"kill_switch"}
    source = document()
    source["campaigns"][0]["enabled"] = False
    assert reasons(run(events, compiled(source))) == [("winback", "kill_switch"), ("reminder", "deferred")]


def test_row_23_robots_staff_and_test_shoppers_get_nothing() -> None:
    rules = one(COUPON, bots={"user_ids": ["test-*"], "properties": ["bot", "staff"]})
    events = [
        Event(user="test-7", lapse_30d=0.5, id="a"),
        Event(user="u", lapse_30d=0.5, id="b", properties=YES),
        Event(user="u", lapse_30d=0.5, id="c"),
    ]
    assert [d.reason for d in run(events, rules)] == ["bot", "bot", "emitted"]


def test_row_24_one_winner_per_event_by_priority_then_value() -> None:
    found = run([Event(lapse_30d=0.5, buy_7d=0.1)])
    assert [(d.campaign, d.reason) for d in found] == [("winback", "emitted"), ("reminder", "outranked")]
    assert found[1].why == "lost to winback: priority 20, not 30"
    assert sum(d.intervention is not None for d in found) == 1
    stored = Stored()
    run([Event(lapse_30d=0.5)], stored=stored)
    waiting = run([Event(lapse_30d=0.5, buy_7d=0.1, hour=1, id="x")], stored=stored)
    assert [d.reason for d in waiting] == ["frequency_cap", "outranked"], "nobody takes its place"


def test_published_rows_are_those_of_the_decisions(tmp_path: Path, uri: str) -> None:
    """What the rows above see in memory is what lies in the topics."""
    made = Partition(tmp_path, uri, policy=live_policy())
    made.process(records([click(user, 0) for user in range(5)]))
    sent = CODECS.intervention.decode_rows([v for name, v in made.published if name == "intervention"])
    assert [row["intervention_id"] for row in sent] == [row["intervention_id"] for row in decisions(made)]
