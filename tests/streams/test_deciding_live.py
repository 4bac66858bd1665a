"""Deciding in the pass over a partition: what it knows of a shopper comes from the log, wherever batches are cut."""

import itertools
import random
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.effect.assigned import NOT_ASSIGNED
from schemas.codec import Codec
from schemas.registry import FileRegistry
from streams.attribution import Attribution
from streams.claims import Deed
from streams.compiled import CompiledPolicy
from streams.learning.dealing import SHARES
from streams.learning.learner import Learner
from streams.learning.policies import Policies
from streams.learning.state import Learnt
from tests.streams.decide_cases import compiled, document
from tests.streams.live import CODECS, START, Partition, event, records, release

NIGHT = [{"from": "00:00", "until": "24:00"}]  # the whole day: a zone is then seen in the decision


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return release(tmp_path_factory.mktemp("release"))


def policy(**changes: Any) -> CompiledPolicy:
    """One coupon after clicks, whatever the scores."""
    source = document(frequency_caps=[], **changes.pop("top", {}))
    coupon = source["campaigns"][0]
    trigger = {"event_types": ["click"], "score": "lapse_30d", "at_least": 0.0}
    worth = {"margin_per_conversion": 1, "lift": 1, "cost_per_contact": 0}
    payload = {"value": 1.0, "category": "BEEF", "expires_hours": 24}
    more = {"trigger": trigger, "value": worth, "payload": payload, "cooldown_hours": 0, **changes}
    source["campaigns"] = [{**coupon, **more}]
    return compiled(source)


def decisions(partition: Partition) -> list[dict[str, Any]]:
    rows = CODECS.decision.decode_rows([value for name, value in partition.published if name == "decision"])
    return [{name: value for name, value in row.items() if name != "decided_at"} for row in rows]


def click(user: int, at: int, **properties: str) -> dict[str, Any]:
    return event(user, at, event_type="click", properties=properties)


def test_row_2_a_purchase_in_the_log_holds_back_what_comes_after_it(tmp_path: Path, uri: str) -> None:
    partition = Partition(tmp_path, uri, policy=policy(cooldown_after_purchase_hours=1))
    partition.process(records([click(1, 0), event(1, 10), click(1, 20), click(2, 30), click(1, 70)]))
    assert [row["reason"] for row in decisions(partition)] == [
        "emitted",
        "after_purchase",
        "emitted",
        "emitted",
    ]
    partition.crash()
    partition.process(records([event(1, 80), click(1, 90), click(1, 60)], 5))  # the last one comes late
    assert [row["reason"] for row in decisions(partition)][4:] == ["after_purchase"] * 2


def test_a_decision_tells_its_window_and_what_its_coupon_is_worth(tmp_path: Path, uri: str) -> None:
    arms = [
        {"name": "none", "share": 50, "nothing": True},
        {"name": "three", "share": 50, "payload": {"value": 3.0}},
    ]
    chosen = policy(attribution_hours=36, experiment={"salt": "s", "arms": arms})
    partition = Partition(tmp_path, uri, policy=chosen)
    partition.process(records([click(user, user) for user in range(30)]))
    rows = decisions(partition)
    assert {row["attribution_hours"] for row in rows} == {36.0}
    assert {(row["reason"], row["coupon_value"]) for row in rows} >= {("emitted", 3.0), ("control", 0.0)}
    found = Attribution(0, 0)
    found.decide(rows)
    found.do("user-1", Deed("e", "purchase", START + 60_000 + 1, 5.0))
    told = {row["decision_id"]: row for row in found.advance(START + 48 * 3_600_000)}
    assert set(told) == {row["decision_id"] for row in rows if row["reason"] not in NOT_ASSIGNED}
    assert sum(row["revenue"] for row in told.values()) == 5.0


def test_what_a_worker_decided_is_learnt_and_the_next_decisions_are_drawn_by_it(
    tmp_path: Path, uri: str
) -> None:
    """The whole loop but for Kafka: decisions, outcomes and the state go through their codecs. Only three pays."""
    arms = [
        {"name": "none", "share": 50, "nothing": True},
        {"name": "three", "share": 50, "payload": {"value": 3.0}},
    ]
    how = {"floor": 10, "margin_share": 1.0, "least_outcomes": 20, "method": "greedy"}
    experiment = {"salt": "s", "arms": arms, "learning": how}
    chosen = policy(attribution_hours=1, cooldown_hours=1, experiment=experiment)
    partition = Partition(tmp_path, uri, policy=chosen)
    partition.process(records([click(user, user) for user in range(60)]))
    first, found = decisions(partition), Attribution(0, 0)
    assert {row["learned_version"] for row in first} == {SHARES}
    found.decide(first)
    for row in first:
        if row["arm"] == "three":
            found.do(row["user_id"], Deed(f"p-{row['event_id']}", "purchase", row["event_time"] + 1, 20.0))
    outcome = Codec(FileRegistry(), "outcome")
    told = outcome.decode_rows(outcome.encode_rows(found.advance(START + 48 * 3_600_000)))

    published = Policies()
    published.follow([chosen.policy.row(0)], chosen.policy.row(0))
    learner = Learner(published)
    learner.learn(told)
    assert learner.counts == {"learnt": 60}
    (state,) = learner.changed()
    partition.policy = CompiledPolicy(
        chosen.policy, chosen.tasks, None, {"winback": Learnt.of(state.row("default", 0))}
    )
    partition.passing.use(partition.model, partition.policy)
    assert partition.policy.misfits == {}
    partition.process(records([click(user, 100 + user) for user in range(60)], 60))
    later = decisions(partition)[60:]
    assert {row["learned_version"] for row in later} == {state.version}
    assert all(row["propensity"] == pytest.approx(0.95 if row["arm"] == "three" else 0.05) for row in later)
    assert sum(row["arm"] == "three" for row in later) >= 50
    before = [(row["event_id"], row["arm"], row["propensity"]) for row in later]
    partition.crash()  # what was decided stands
    assert [(row["event_id"], row["arm"], row["propensity"]) for row in decisions(partition)[60:]] == before


def test_row_3_a_zone_told_by_any_event_is_kept_through_a_crash(tmp_path: Path, uri: str) -> None:
    partition = Partition(
        tmp_path, uri, policy=policy(top={"quiet_hours": NIGHT, "time_zone": "Europe/Berlin"})
    )
    work = partition.compute(
        records([click(1, 0), event(1, 1, properties={"time_zone": "Asia/Tokyo"}), click(1, 2), click(2, 3)])
    )
    partition.finish(work)
    assert [row["time_zone"] for row in decisions(partition)] == [
        "Europe/Berlin",
        "Asia/Tokyo",
        "Europe/Berlin",
    ]
    partition.crash()
    work = partition.compute(records([click(1, 4, time_zone="Mars/Base"), click(1, 5, store="7")], 4))
    partition.finish(work)
    assert [row["time_zone"] for row in decisions(partition)][3:] == ["Asia/Tokyo"] * 2
    assert work.reasons == {"time_zone_not_understood": 1}


def test_the_audience_goes_by_what_the_log_says(tmp_path: Path, uri: str) -> None:
    audience = {"events_at_least": 1, "events_at_most": 2, "bought": False, "devices": ["app"]}
    partition = Partition(tmp_path, uri, policy=policy(audience=audience))
    rows = [click(1, at) | {"device": "app"} for at in range(4)]
    rows += [event(2, 4), click(2, 5) | {"device": "app"}, click(3, 6), click(3, 7)]
    partition.process(records(rows))
    reasons = [row["reason"] for row in decisions(partition)]
    assert reasons == ["not_eligible", "emitted", "emitted", "not_eligible"] + ["not_eligible"] * 3


def test_row_23_a_property_of_the_event_marks_staff(tmp_path: Path, uri: str) -> None:
    partition = Partition(tmp_path, uri, policy=policy(top={"bots": {"properties": ["staff"]}}))
    partition.process(records([click(1, 0, staff="true", channel="x"), click(1, 1)]))
    assert [row["reason"] for row in decisions(partition)] == ["bot", "emitted"]


def test_row_23_the_rate_is_that_of_the_log_wherever_it_is_cut(tmp_path: Path, uri: str) -> None:
    partition = Partition(tmp_path, uri, policy=policy(top={"bots": {"events_per_minute": 60}}))
    rows = [click(1, 0) | {"event_time": START + 100 * at, "event_id": f"fast {at}"} for at in range(40)]
    slow = [click(2, at) for at in range(40)]
    log = records([row for pair in zip(rows, slow, strict=True) for row in pair])
    partition.process(log[:50])
    partition.process(log[partition.crash() :])
    found = [(row["user_id"], row["reason"]) for row in decisions(partition)]
    assert [reason for user, reason in found if user == "user-1"] == ["emitted"] * 30 + ["bot"] * 10
    assert {reason for user, reason in found if user == "user-2"} == {"emitted"}


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), cuts=st.lists(st.integers(1, 59), max_size=6))
def test_row_5_decisions_are_the_same_wherever_batches_are_cut(uri: str, seed: int, cuts: list[int]) -> None:
    """Late events and doubles among them; what was known of the shopper is in the digest."""
    rng, rows = random.Random(seed), list[dict[str, Any]]()
    for at in range(60):
        user, late = rng.randrange(3), at if rng.random() < 0.8 else max(0, at - rng.randrange(20))
        zone = {"time_zone": rng.choice(["Asia/Tokyo", "UTC"])} if rng.random() < 0.2 else {}
        row = event(
            user, late, properties=zone, event_type=rng.choice(["click", "click", "purchase", "search"])
        )
        rows.append(dict(rng.choice(rows)) if rows and rng.random() < 0.1 else row)
    raw = records(rows)
    rules = policy(cooldown_after_purchase_hours=0.1, cooldown_hours=0.05)
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        whole, cut = Partition(Path(one), uri, policy=rules), Partition(Path(other), uri, policy=rules)
        whole.process(raw)
        for start, stop in itertools.pairwise(sorted({0, 60, *cuts})):
            cut.process(raw[start:stop])
        exact = ("decision_id", "reason", "time_zone", "history_digest", "send_after", "arm", "eligible")
        assert [{name: row[name] for name in exact} for row in decisions(whole)] == [
            {name: row[name] for name in exact} for row in decisions(cut)
        ]
