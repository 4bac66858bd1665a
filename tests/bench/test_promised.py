"""The check of promises finds each kind of broken one, and cries only then."""

from typing import Any

import pytest

from bench.promised import DAY, HOUR, Promises, Told, broken, held_out
from bench.promises import Shopping, policy, promised
from schemas.codec import Codec
from schemas.registry import FileRegistry

BASE = Promises(
    "s",
    0.0,
    [(1, 24, frozenset({"coupon"}))],
    {"a": 10},
    {"push": 5},
    (21, 8, frozenset({"push"})),
    {"a": (1.0, 0.5)},
)
NOON = 12 * HOUR


def row(number: int, time: int, kind: str = "coupon", campaign: str = "x", user: str = "u") -> dict[str, Any]:
    push = {"send_after": time} if kind == "push" else None
    return {
        "intervention_id": f"i{number}",
        "user_id": user,
        "kind": kind,
        "campaign": campaign,
        "event_time": time,
        "push": push,
    }


def count(rows: list[dict[str, Any]], promises: Promises = BASE, told: Told | None = None) -> dict[str, int]:
    return {what: number for what, number in broken(promises, told or Told(), rows).items() if number}


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([row(0, NOON), row(1, NOON + 24 * HOUR)], {}),
        ([row(0, NOON), row(1, NOON + 24 * HOUR - 1)], {"cap": 1}),
        ([row(0, NOON, "rerank", "a"), row(1, NOON + 9 * HOUR, "rerank", "a")], {"cooldown": 1}),
        ([row(0, NOON, "push"), row(1, NOON + 4 * HOUR, "push", "y")], {"cooldown": 1}),
        ([row(0, 7 * HOUR, "push")], {"quiet hours": 1}),
        ([row(0, 8 * HOUR, "push")], {}),
        ([row(0, NOON), row(0, NOON + 48 * HOUR)], {"sent twice": 1}),
        ([row(n, n, campaign="a", user=f"u{n}") for n in range(2)], {}),
        ([row(n, n, campaign="a", user=f"u{n}") for n in range(3)], {"budget": 1}),
        (
            [row(0, 0, campaign="a"), row(1, 0, campaign="a", user="v"), row(2, DAY, campaign="a", user="w")],
            {},
        ),
    ],
)
def test_what_is_broken_is_counted_and_nothing_else(
    rows: list[dict[str, Any]], found: dict[str, int]
) -> None:
    assert count(rows) == found


def test_consent_is_the_last_word_up_to_the_moment_of_sending() -> None:
    told = Told()
    told.words["u"] = [(NOON, "all", False), (NOON + HOUR, "coupon", True), (NOON + 2 * HOUR, "push", True)]
    assert count([row(0, NOON - 1)], told=told) == {}
    assert count([row(0, NOON)], told=told) == {"consent": 1}
    assert count([row(0, NOON + HOUR)], told=told) == {}
    assert count([row(0, NOON + HOUR, "rerank")], told=told) == {"consent": 1}


def test_quiet_hours_are_of_the_shoppers_zone() -> None:
    told = Told()
    told.zones["u"] = "Asia/Tokyo"
    assert count([row(0, NOON, "push")], told=told) == {"quiet hours": 1}  # 21:00 there


def test_a_held_out_shopper_gets_nothing() -> None:
    promises = Promises("s", 0.5, (), {}, {}, (24, 0, frozenset()), {})
    users = [f"u{n}" for n in range(200)]
    held = [user for user in users if held_out(user, promises)]
    assert 70 < len(held) < 130
    assert count([row(n, NOON, user=user) for n, user in enumerate(users)], promises) == {
        "hold-out": len(held)
    }


def test_the_policy_promises_what_is_checked() -> None:
    kept = promised(1_000_000)
    made = policy(kept)
    assert {c.id: c.cooldown_hours for c in made.campaigns} == kept.cooldowns
    assert [(c.count, c.hours, frozenset(c.kinds)) for c in made.frequency_caps] == list(kept.caps)


def test_what_the_site_sends_is_what_it_remembers() -> None:
    schema = Codec(FileRegistry(), "behavior_event").arrow_schema
    site = Shopping(50, 5_000, 3)
    rows = [row for batch in site.batches(schema, 1_000) for row in batch.to_pylist()]
    words = [(r["user_id"], dict(r["properties"])) for r in rows if r["event_type"] == "consent"]
    assert len(words) == sum(map(len, site.told.words.values())) > 10
    for user, said in words:
        assert said["time_zone"] == site.told.zones[user]
        assert (said["channel"], said["granted"] == "true") in {word[1:] for word in site.told.words[user]}
