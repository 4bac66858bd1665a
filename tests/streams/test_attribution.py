"""The join of decisions and events: one outcome per decision, whatever order its parts come in."""

from __future__ import annotations

import io
import json
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.ids import decision_id
from schemas.codec import Codec
from schemas.registry import FileRegistry, snapshot
from streams.attribution import Attribution, _digest
from streams.attribution_rows import dead, shopper_of, shopper_row
from streams.claims import LEARNT_FROM, Deed, Kept

HOUR = 3_600_000
LATE = 10 * HOUR
KNOWN = 1000 * HOUR
CODEC = Codec(FileRegistry(), "attribution")


def decision(
    name: str = "d1", at: int = 0, hours: float = 24, user: str = "ann", **changes: Any
) -> dict[str, Any]:
    """A decision, `at` hours after the beginning, that published the intervention i-<name>."""
    row = {
        "decision_id": name,
        "user_id": user,
        "event_time": at * HOUR,
        "campaign": "c",
        "kind": "coupon",
        "reason": "emitted",
        "arm": "",
        "cost": 0.5,
        "intervention_id": f"i-{name}",
        "attribution_hours": hours,
        "coupon_value": 2.0,
        "learned_version": "",
    }
    return row | changes


def deed(
    name: str, kind: str, at: float, amount: float | None = None, of: str | None = None, **more: Any
) -> Deed:
    record = Kept(7, 8, b"raw\xff", (("h", b"\xfe"), ("none", None))) if of is not None else None
    return Deed(name, kind, round(at * HOUR), amount, intervention_id=of, record=record, **more)


def bought(name: str, at: float, amount: float = 10.0, order: str = "o") -> Deed:
    return deed(name, "purchase", at, amount, order=order)


def join(late: int = LATE) -> Attribution:
    return Attribution(late, KNOWN)


def test_an_outcome_is_told_once_when_its_window_closes() -> None:
    found = join()
    found.decide([decision()])
    found.do("ann", bought("a", 1))
    assert found.advance(24 * HOUR) == []
    (row,) = found.advance(24 * HOUR + 1)
    assert (row["kind"], row["revenue"], row["purchases"], row["orders"]) == ("converted", 10.0, 1, 1)
    assert (row["revision"], row["complete"], row["outcome_time"]) == (1, True, HOUR)
    assert found.advance(30 * HOUR) == []


def test_the_window_begins_after_the_event_and_ends_with_its_last_moment() -> None:
    found = join()
    found.decide([decision(at=1)])
    for name, at in (("same", 1), ("first", 1.001), ("last", 25), ("after", 25.001)):
        found.do("ann", bought(name, at, order=name))
    (row,) = found.advance(26 * HOUR)
    assert row["purchases"] == row["orders"] == 2


def test_what_comes_late_is_told_as_a_higher_revision() -> None:
    found = join()
    found.decide([decision()])
    (first,) = found.advance(25 * HOUR)
    assert first["kind"] == "none"
    found.do("ann", bought("a", 3))
    (second,) = found.advance(26 * HOUR)
    assert (second["revision"], second["revenue"]) == (2, 10.0)
    assert second["outcome_id"] == first["outcome_id"]
    found.do("ann", bought("a", 3))  # the same event twice
    assert found.advance(27 * HOUR) == []


def test_what_comes_too_late_changes_nothing_and_nothing_is_kept() -> None:
    found = join()
    found.decide([decision(intervention_id=None)])
    found.advance(25 * HOUR)
    found.advance(24 * HOUR + LATE + 1)
    assert [user for user, shopper in found.changes().items() if not shopper] == ["ann"]
    assert len(found) == 0
    found.do("ann", bought("a", 3))
    assert found.advance(36 * HOUR) == []


@pytest.mark.parametrize("reason", ["kill_switch", "no_consent", "bot", "withdrawn"])
def test_what_was_never_assigned_has_no_outcome(reason: str) -> None:
    found = join()
    found.decide([decision(reason=reason, intervention_id=None)])
    assert found.advance(100 * HOUR) == []


@pytest.mark.parametrize("reason", ["holdout", "control", "below_value", "frequency_cap", "dry_run"])
def test_what_the_holdout_is_compared_with_has_one(reason: str) -> None:
    found = join()
    found.decide([decision(reason=reason, intervention_id=None)])
    (row,) = found.advance(100 * HOUR)
    assert row["reason"] == reason
    assert row["contacts"] == 0


def test_costs_are_of_all_that_was_published_within_the_window() -> None:
    found = join()
    push = decision("d2", at=5, kind="push", coupon_value=0.0, cost=0.25)
    found.decide([decision(), push, decision("d3", at=30)])
    found.do("ann", deed("told", "coupon_redeem", 6, 1.5, of="i-d1"))
    found.do("ann", deed("untold", "coupon_redeem", 7, None, of="i-d1"))
    found.do("ann", deed("shown", "intervention_exposed", 8, of="i-d1"))
    row = next(one for one in found.advance(25 * HOUR) if one["decision_id"] == "d1")
    assert (row["contacts"], row["contact_cost"]) == (2, 0.25)
    assert (row["redemptions"], row["coupon_cost"], row["exposures"]) == (2, 3.5, 1)
    assert row["own_coupon_cost"] == 3.5
    assert row["kind"] == "redeemed"


def test_returns_margins_and_withdrawals_count() -> None:
    found = join()
    found.decide([decision()])
    found.do("ann", deed("p", "purchase", 1, 10.0, margin=4.0, order="o"))
    found.do("ann", bought("q", 2))
    found.do("ann", deed("r", "return", 3, 6.0))
    found.do("ann", deed("w", "withdrawal", 4))
    (row,) = found.advance(25 * HOUR)
    assert (row["margin"], row["returned"], row["unsubscribed"]) == (4.0, 6.0, True)


def test_what_names_an_intervention_that_was_not_published_is_refused_whole() -> None:
    found = join()
    push = decision("d2", kind="push")
    found.decide([decision(), push])
    found.do("ann", deed("good", "intervention_exposed", 1, of="i-d2"))
    found.do("ann", deed("a", "intervention_exposed", 1, of="i-other"))
    found.do("ann", deed("b", "coupon_redeem", 2, of="i-other"))
    found.do("ann", deed("c", "coupon_redeem", 3, of="i-d2"))  # a message, no coupon
    found.do("bob", deed("d", "coupon_redeem", 3, of="i-d1"))  # somebody else's
    refused = found.refuse(list(found.unresolved))
    reasons = {(one.user, one.deed.event_id): one.reason for one in refused}
    assert reasons == {
        ("ann", "a"): "unknown_intervention",
        ("ann", "b"): "no_such_coupon",
        ("ann", "c"): "no_such_coupon",
        ("bob", "d"): "no_such_coupon",
    }
    letter = dead(refused[0], "behavior-events", 3)
    assert (letter.record.value, letter.record.offset, letter.record.partition) == (b"raw\xff", 7, 3)
    assert "'i-other'" in letter.message
    row = next(one for one in found.advance(25 * HOUR) if one["decision_id"] == "d2")
    assert (row["exposures"], row["redemptions"], row["coupon_cost"]) == (1, 0, 0.0)


def test_an_exposure_read_before_its_decision_is_not_refused() -> None:
    found = join()
    found.do("ann", deed("a", "intervention_exposed", 1, of="i-d1"))
    found.decide([decision()])
    assert found.refuse(list(found.unresolved)) == []
    assert found.advance(25 * HOUR)[0]["exposures"] == 1


def test_a_forgotten_shopper_leaves_nothing() -> None:
    found = join()
    found.decide([decision()])
    found.do("ann", deed("a", "intervention_exposed", 1, of="i-other"))
    found.changes()
    found.forget("ann")
    assert not found.unresolved
    assert found.advance(100 * HOUR) == []
    assert not found.changes()["ann"]


def test_open_windows_can_be_told_as_incomplete_and_are_told_again_when_they_close() -> None:
    found = join()
    found.decide([decision()])
    found.do("ann", bought("a", 1))
    found.advance(2 * HOUR)
    (early,) = found.close()
    assert (early["complete"], early["revision"], early["revenue"]) == (False, 1, 10.0)
    assert found.close() == []
    assert found.advance(3 * HOUR) == []
    (last,) = found.advance(25 * HOUR)
    assert (last["complete"], last["revision"]) == (True, 2)


def test_a_coupon_redeemed_late_keeps_its_cost_as_long_as_it_counts() -> None:
    found = Attribution(LATE, 48 * HOUR)
    found.decide([decision("old", hours=1), decision("new", at=47)])
    found.do("ann", deed("r", "coupon_redeem", 48, of="i-old"))
    found.refuse(list(found.unresolved))
    rows = {row["decision_id"]: row for at in range(49, 75) for row in found.advance(at * HOUR)}
    assert rows["new"]["coupon_cost"] == 2.0


USERS, NAMES = st.sampled_from(["ann", "bob"]), st.integers(0, 11)
DEED = st.builds(
    lambda number, kind, at, of: deed(
        f"e{number}-{kind}-{at}",
        kind,
        at,
        10.0,
        f"i-{of}" if kind in ("coupon_redeem", "intervention_exposed") else None,
    ),
    NAMES,
    st.sampled_from(["purchase", "return", "coupon_redeem", "intervention_exposed", "withdrawal"]),
    st.integers(0, 60),
    st.integers(0, 5),
)
DECISION = st.builds(
    lambda number, at, hours, reason: decision(
        str(number),
        at,
        hours,
        "ann" if number % 2 else "bob",
        reason=reason,
        **({} if reason == "emitted" else {"intervention_id": None}),
    ),
    st.integers(0, 5),
    st.integers(0, 40),
    st.sampled_from([1, 12, 24]),
    st.sampled_from(["emitted", "holdout", "control", "bot"]),
)


def fed(
    decisions: list[dict[str, Any]],
    deeds: list[tuple[str, Deed]],
    cuts: list[tuple[int, int]],
    restarts: bool = False,
) -> dict[str, dict[str, Any]]:
    """The last word on each decision, when both inputs are taken in these steps."""
    found, last = join(100 * HOUR), {}
    kept: dict[str, bytes] = {}
    taken_decisions = taken_deeds = newest_decision = newest_deed = 0
    for more_decisions, more_deeds in [*cuts, (len(decisions), len(deeds))]:
        if restarts:
            found = join(100 * HOUR)
            for user, value in kept.items():
                found.restore(user, shopper_of(CODEC.decode_rows([value])[0]))
        some = decisions[taken_decisions : taken_decisions + more_decisions]
        others = deeds[taken_deeds : taken_deeds + more_deeds]
        taken_decisions, taken_deeds = taken_decisions + len(some), taken_deeds + len(others)
        found.decide(some)
        for user, one in others:
            found.do(user, one)
        newest_decision = max([newest_decision, *(row["event_time"] for row in some)])
        newest_deed = max([newest_deed, *(one.time for _, one in others)])
        rows = found.advance(min(newest_decision, newest_deed))
        for row in rows:
            before = last.get(row["decision_id"])
            assert row["revision"] == (1 if before is None else before["revision"] + 1)
            assert row["first_complete"] == (before is None)  # for each decision once, also after restarts
            last[row["decision_id"]] = row
        for user, shopper in found.changes().items():
            kept[user] = CODEC.encode_rows([shopper_row(user, shopper)])[0]
    found.refuse(list(found.unresolved))
    for row in found.advance(60 * HOUR + 24 * HOUR + 1):
        last[row["decision_id"]] = row
    told_how = ("revision", "first_complete")
    return {name: {key: row[key] for key in row if key not in told_how} for name, row in last.items()}


@given(st.data())
def test_any_order_and_batching_of_the_inputs_gives_the_same_outcomes(data: st.DataObject) -> None:
    decisions = data.draw(st.lists(DECISION, max_size=6, unique_by=lambda row: row["decision_id"]))
    deeds = data.draw(st.lists(st.tuples(USERS, DEED), max_size=12, unique_by=lambda one: one[1].event_id))
    cuts = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=6)
    at_once = fed(decisions, deeds, [])
    shuffled = fed(
        data.draw(st.permutations(decisions)),
        data.draw(st.permutations(deeds)),
        data.draw(cuts),
        data.draw(st.booleans()),
    )
    assert shuffled == at_once
    assert set(at_once) == {row["decision_id"] for row in decisions if row["reason"] != "bot"}


def drawn(**changes: Any) -> dict[str, Any]:
    """A decision whose arm was drawn by what was learnt."""
    told = {"learned_version": "abc", "arm": "three", "propensity": 0.25, "event_id": "e1"}
    told |= {"scores": {"buy_3d": 0.25, "buy_7d": 0.5}, "policy_version": "v7", "time_zone": "Europe/Rome"}
    return decision(decision_id("e1", "c")) | told | changes


def test_an_outcome_of_a_drawn_arm_tells_what_is_learnt_from_once_and_after_a_restart() -> None:
    found = join()
    found.decide([drawn()])
    (user, shopper), *_ = found.changes().items()
    found = join()
    found.restore(user, shopper_of(CODEC.decode_rows(CODEC.encode_rows([shopper_row(user, shopper)]))[0]))
    (row,) = found.close()
    assert not row["first_complete"]
    assert (row["revision"], row["complete"]) == (1, False)
    (row,) = found.advance(25 * HOUR)
    assert (row["first_complete"], row["revision"], row["complete"]) == (True, 2, True)
    assert row["scores"] == {"buy_3d": 0.25, "buy_7d": 0.5}
    assert (row["propensity"], row["policy_version"], row["time_zone"]) == (0.25, "v7", "Europe/Rome")
    found.do("ann", bought("p1", 5))
    (row,) = found.advance(26 * HOUR)
    assert (row["first_complete"], row["revision"], row["revenue"]) == (False, 3, 10.0)


@pytest.mark.parametrize(
    "changes",
    [
        {"learned_version": ""},  # the shopper's arm
        {"reason": "holdout"},
        {"reason": "outranked"},
        {"decision_id": decision_id("e1", "c@7200000")},  # the second one of a message that waited
    ],
)
def test_nothing_is_told_to_learn_from_where_no_arm_was_drawn(changes: dict[str, Any]) -> None:
    found = join()
    found.decide([drawn(**changes)])
    (row,) = found.close()
    assert (row["scores"], row["policy_version"]) == ({}, "")


def test_a_shopper_kept_by_an_earlier_version_is_told_again_only_when_something_changes() -> None:
    """Its digest is of an outcome without what is told to learn from."""
    found = join()
    found.decide([decision()])
    found.advance(25 * HOUR)
    (user, shopper), *_ = found.changes().items()
    row = shopper_row(user, shopper)
    for claim in row["claims"]:
        for name in LEARNT_FROM:
            del claim[name]
    old = io.BytesIO(b"\0" + (14).to_bytes(4, "big"))
    old.seek(0, io.SEEK_END)
    fastavro.schemaless_writer(old, json.loads(snapshot("attribution", 1).read_text()), row)
    found = join()
    found.restore(user, shopper_of(CODEC.decode_rows([old.getvalue()])[0]))
    assert found.advance(26 * HOUR) == []
    found.do("ann", bought("p1", 5))
    (told,) = found.advance(27 * HOUR)
    assert (told["revision"], told["first_complete"], told["scores"]) == (2, False, {})


def test_the_digest_is_that_of_earlier_versions() -> None:
    found = join()
    found.decide([decision()])
    (row,) = found.advance(25 * HOUR)
    before = {
        name: one for name, one in row.items() if name not in ("revision", "first_complete", *LEARNT_FROM)
    }
    (shopper,) = found.changes().values()
    assert [claim.told for claim in shopper.claims.values()] == [_digest(before)]
    assert _digest(before) == "ec76fd76e256e939"  # as told before there was anything to learn from
