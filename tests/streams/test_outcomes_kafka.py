"""The outcome agent on a real Kafka: killed again and again, it tells the same outcomes as one that never was."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from schemas.settings import Settings
from streams.outcomes import run
from tests.streams.archiving import T0
from tests.streams.outcome_site import HOUR, agent, decided, did, last_words, shop, write

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]
SHOPPERS, DAYS = 40, 12


def made(seed: int = 0) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Decisions and events of some days, each shopper's in a jumble of up to some hours; a few name nonsense."""
    rng = random.Random(seed)
    decisions = [
        decided(
            number,
            rng.randrange(SHOPPERS),
            rng.uniform(0, 24 * DAYS),
            reason=rng.choice(["emitted", "control"]),
        )
        for number in range(300)
    ]
    for row in decisions:
        if row["reason"] == "control":
            row["intervention_id"] = None
    owners = {row["intervention_id"]: row for row in decisions if row["intervention_id"]}
    events = []
    for number in range(1500):
        kind = rng.choice(["purchase", "return", "page_view", "coupon_redeem", "intervention_exposed"])
        named = owners.get(f"i{rng.randrange(350)}")
        shopper, at = rng.randrange(SHOPPERS), rng.uniform(0, 24 * DAYS)
        properties = {}
        if kind in ("coupon_redeem", "intervention_exposed"):
            properties = {"intervention_id": f"made-up-{number}"}
            if named is not None:  # a coupon is shown and redeemed after it was published
                properties = {"intervention_id": named["intervention_id"]}
                shopper = int(named["user_id"][1:])
                at = (named["event_time"] - T0) / HOUR + rng.uniform(0, 72)
        events.append(did(number, shopper, at, kind, price=float(rng.randrange(1, 9)), properties=properties))
    for rows in (decisions, events):
        rows.sort(key=lambda row: row["event_time"] + rng.uniform(0, 6) * 3_600_000)
    return decisions, events


def told(site: Any) -> dict[str, dict[str, Any]]:
    return {
        name: {key: value for key, value in row.items() if key not in ("revision", "first_complete")}
        for name, row in last_words(site).items()
    }


def test_killed_again_and_again_it_loses_and_doubles_nothing(settings: Settings) -> None:
    site = shop(settings)
    decisions, events = made()
    for turn in range(3):
        mine, done = decisions[100 * turn : 100 * turn + 100], events[500 * turn : 500 * turn + 500]
        write(site.settings, "decision", mine)
        write(site.settings, "behavior_event", done[:400])
        before = len(site.read("outcome"))
        with agent(site.settings, 50, until_end=False) as process:
            site.wait(lambda before=before: len(site.read("outcome")) > before, "outcomes")
            write(site.settings, "behavior_event", done[400:])  # it is in the middle of these
            time.sleep(0.1 * turn)
            assert process.poll() is None
            process.kill()
    last = agent(site.settings, 50)
    assert last.wait(120) == 0
    killed, letters = told(site), [row["value"] for row in site.read("dead_letter")]

    other = shop(
        settings.model_copy(
            update={"topic_prefix": settings.topic_prefix + "b-", "app_id": settings.app_id + "b"}
        )
    )
    write(other.settings, "decision", decisions)
    write(other.settings, "behavior_event", events)
    run(other.settings, until_end=True)
    calm = told(other)
    assert [(killed.get(name), calm[name]) for name in calm if killed.get(name) != calm[name]] == []
    assert len(killed) == len(calm)
    assert len(killed) > 200
    assert len(letters) == len(set(letters))
    assert sorted(letters) == sorted(row["value"] for row in other.read("dead_letter"))
    assert letters


def test_of_two_agents_one_takes_over_what_the_other_left_in_the_middle(settings: Settings) -> None:
    site = shop(settings.model_copy(update={"transaction_timeout_s": 10.0}))
    decisions, events = made(1)
    write(site.settings, "decision", decisions)
    write(site.settings, "behavior_event", events[:700])
    running = [agent(site.settings, 50, "", until_end=False) for _ in range(2)]
    try:
        site.wait(lambda: len(site.read("outcome")) > 20, "the first outcomes", 90)
        running[0].kill()
        running[0].wait()
        write(site.settings, "behavior_event", events[700:])
        newest = max(row["event_time"] for row in events)
        for partition in range(4):  # time goes on everywhere, and every window closes
            number, shopper = 9_000 + partition, 40 + partition
            write(
                site.settings,
                "behavior_event",
                [did(number, shopper, (newest - T0) / HOUR + 30, "page_view")],
            )
        named = {row["decision_id"] for row in decisions}
        site.wait(lambda: set(last_words(site)) == named, "an outcome of every decision", 120)
    finally:
        for process in running:
            process.kill()
            process.wait()
    letters = [row["value"] for row in site.read("dead_letter")]
    assert len(letters) == len(set(letters))
    found = last_words(site)
    worth = dict.fromkeys(named, 0.0)
    for row in decisions:
        within = (
            event["price"]
            for event in events
            if event["event_type"] == "purchase"
            and event["user_id"] == row["user_id"]
            and row["event_time"] < event["event_time"] <= row["event_time"] + 24 * HOUR
        )
        worth[row["decision_id"]] = sum(within)
    assert {name: row["revenue"] for name, row in found.items()} == worth
