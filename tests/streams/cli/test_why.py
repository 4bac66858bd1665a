"""A decision explained, from topics that the real rules filled."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from schemas.settings import Settings
from streams.cli import policies
from streams.decide import CompiledPolicy
from streams.interventions import decision_row, intervention_row
from streams.policy_document import parse
from tests.models.releases import written
from tests.streams.cli.conftest import Run, send
from tests.streams.decide_cases import NOON, TASKS, Event, Stored, codec, document
from tests.streams.decide_cases import run as decided

pytestmark = pytest.mark.embedded


def _live(settings: Settings, events: list[Event], **changes: object) -> None:
    """What a worker would have written after these events, under a policy that it followed."""
    text = yaml.safe_dump(document(**changes))
    policies.publish(settings, text)
    stored, policy = Stored(), CompiledPolicy(parse(text, "test"), TASKS)
    decisions = decided(events, policy, stored)
    send(settings, "behavior_event", [_row(event) for event in events])
    send(settings, "decision", [decision_row(decision) for decision in decisions])
    sent = [decision.intervention for decision in decisions if decision.intervention is not None]
    send(settings, "intervention", [intervention_row(one) for one in sent])
    contacts = [
        contact
        for contact in (stored.values.get(user) for user in {event.user for event in events})
        if contact
    ]
    send(settings, "contact", codec("contact").decode_rows(contacts))


def _row(event: Event) -> dict[str, object]:
    time = NOON + round(event.hour * 3_600_000)
    return {
        "event_id": event.id,
        "user_id": event.user,
        "event_type": event.kind,
        "event_time": time,
        "category_id": "BEEF",
        "price": 4.5,
    }


def test_an_emitted_coupon_is_told_from_the_event_to_the_payload(run: Run, shop: Settings) -> None:
    events = [
        Event("718", "click", -2, id="e0"),
        Event("718", lapse_30d=0.6, id="e1"),
        Event("9", id="other"),
    ]
    _live(shop, events)
    told = run("why", "718", "--only", "emit", "-n", "1").output
    assert "2017-11-03 12:00:00  purchase  BEEF  1 for 4.50   (event e1)" in told
    assert "before     2017-11-03 10:00:00  click" in told
    assert "lapse_30d 0.60" in told
    assert "winback (coupon): emit, reason emitted" in told
    assert "trigger: lapse_30d 0.60, wanted at least 0.30" in told
    assert "NO" not in told
    assert "value: 0.70, wanted at least 0.20" in told
    assert "2.00 on SOFT DRINKS, from a basket of 10.00" in told
    assert "sent     2017-11-03 12:00:00  winback (coupon)" in told
    assert "(event other)" not in told


def test_the_rule_that_held_it_back_is_told_with_what_it_looked_at(run: Run, shop: Settings) -> None:
    _live(shop, [Event("718", hour=hour, lapse_30d=0.6, id=f"e{hour}") for hour in (0, 60)])
    told = run("why", "718", "-n", "1").output
    assert "winback (coupon): held back, reason cooldown" in told
    assert "yes   frequency caps" in told
    assert "NO    cooldown: winback was sent 2017-11-03 12:00:00; 100 h between two of winback" in told


def test_an_arm_that_was_drawn_for_the_event_is_told(run: Run, shop: Settings) -> None:
    campaign = document()["campaigns"][0] | {"attribution_hours": 100}
    arms = [{"name": "none", "share": 1, "nothing": True}, {"name": "some", "share": 99}]
    learning = {"floor": 5, "margin_share": 0.3}
    campaign["experiment"] = {"salt": "x", "arms": arms, "learning": learning}
    _live(shop, [Event("718", lapse_30d=0.6, id="e1")], campaigns=[campaign])
    assert "arm some, drawn for this event by the policy's shares" in run("why", "718").output


def test_what_outranked_it_is_named_also_when_only_the_loser_is_asked_for(run: Run, shop: Settings) -> None:
    _live(shop, [Event("718", lapse_30d=0.6, buy_7d=0.2, id="e1")])
    told = run("why", "718", "--only", "held_back").output
    assert "reminder (push): held back, reason outranked" in told
    assert "NO    arbitration: lost to winback: priority 20, not 30" in told
    assert "winback (coupon)" not in told.partition("►")[2]
    assert told.count("not asked any more") == 6


def test_the_hold_out_and_the_kill_switch_are_told(run: Run, shop: Settings) -> None:
    _live(shop, [Event("718", lapse_30d=0.6, id="e1")], holdout={"salt": "s", "share": 0.999999})
    assert "NO    hold-out: this shopper is among the 100% who get nothing" in run("why", "718").output
    _live(shop, [Event("718", lapse_30d=0.6, id="e2")], kill_switch=True)
    told = run("why", "718", "-n", "2").output
    assert "NO    kill switch: on for all campaigns" in told
    assert told.index("hold-out: this shopper") < told.index(
        "kill switch: on"
    )  # oldest first, each by its own policy


def test_what_drove_the_score_is_told_with_numbers(run: Run, shop: Settings, tmp_path: Path) -> None:
    events = [Event("718", "click", -30, id="e0"), Event("718", hour=-2, id="e1")]
    _live(shop, [*events, Event("718", lapse_30d=0.6, id="e2"), Event("718", "click", hour=1, id="e3")])
    told = run("why", "718", "--only", "emit").output
    assert "because    not known:" in told, "the release is not there"
    assert "intentflow models list" in told
    release = written(tmp_path / "elsewhere", seed=1)
    shutil.copytree(release.uri, Path(shop.releases_uri) / "r1")
    told = run("why", "718", "--only", "emit").output
    (head,) = re.findall(r"because    lapse_30d (\S+) from the latest 3 events, blank ones give (\S+)", told)
    parts = [float(part) for part in re.findall(r"    event    (\S+)", told)]
    assert len(parts) == 3, "the event that raised the decision and the two before, not the one after"
    assert sum(parts) == pytest.approx(float(head[0]) - float(head[1]), abs=0.004)
    assert "time since the last purchase: 0 minutes" in told or "baskets, fading" in told
    assert "published 0.600" in told, "an untrained release says something else"
    assert "because" not in run("why", "718", "--no-drivers").output


def test_a_shopper_without_decisions_is_told_what_there_is(run: Run, shop: Settings) -> None:
    assert "No events and no decisions" in run("why", "nobody").output
    send(shop, "behavior_event", [_row(Event("718", id="e1"))])
    told = run("why", "718").output
    assert "No decision yet" in told
    assert "purchase  BEEF" in told
    assert "not scored yet" in told
    _live(shop, [Event("718", lapse_30d=0.6, id="e2")])
    assert "No decision with outcome nothing" in run("why", "718", "--only", "nothing").output
