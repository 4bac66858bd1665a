"""What another policy would have done and earned: from a real archive of a shop whose truth is known."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from models.replay.source import Interval, SourceProblem
from schemas.settings import Settings
from streams.cli import app
from streams.compiled import CompiledPolicy
from streams.decide import is_held_out
from streams.policy import Policy
from streams.whatif.evaluation import Evaluation, evaluate
from streams.whatif.rounds import Margin
from tests.models.replay.test_imports import ROOT, reached
from tests.streams.decide_cases import TASKS
from tests.streams.learning.cases import preferring
from tests.streams.live import START, event
from tests.streams.test_waiting_live import policy as waiting
from tests.streams.whatif.shop import (
    BUYS,
    BUYS_TREATED,
    COST,
    MARGIN,
    WINDOW,
    archived,
    interval,
    policy,
    shop,
)

USERS, SHARE = 600, 0.4
MOMENTS = 2 * USERS
SENDING = ("streams.transaction", "streams.turns", "streams.app", "streams.worker", "schemas.producer")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return archived(tmp_path_factory.mktemp("shop"), shop(USERS, SHARE), policy(SHARE))


def asked(settings: Settings, old: Policy, new: Policy, **more: Any) -> Evaluation:
    margin = Margin(WINDOW * 60_000, more.pop("share", None))
    return evaluate(settings, old, new, Interval(*interval()), margin, **more)


def without(of: Policy) -> Policy:
    return of.model_copy(update={"campaigns": []})


def test_the_replay_of_the_policy_in_force_is_what_the_log_says(settings: Settings) -> None:
    found = asked(settings, policy(SHARE), policy(SHARE))
    assert found.shared == found.same == 4 * USERS  # every click
    held = sum(is_held_out(f"user-{user}", "s", SHARE) for user in range(USERS))
    assert found.before == {
        "winback": Counter(holdout=4 * held, emitted=2 * (USERS - held), cooldown=2 * (USERS - held))
    }
    assert found.changes == []
    assert found.earned[0].difference is None
    assert found.earned[0].refused == ""


@pytest.mark.parametrize("share_of_price", [None, 0.25])
def test_what_leaving_all_alone_costs_is_within_its_interval(
    settings: Settings, share_of_price: float | None
) -> None:
    """Per moment (1 - hold-out) times (what the coupon causes, less its cost) would have been lost."""
    found = asked(settings, policy(SHARE), without(policy(SHARE)), share=share_of_price)
    (one,) = found.earned
    assert one.refused == ""
    assert one.difference is not None
    assert one.rounds is not None
    assert len(one.rounds) == MOMENTS
    assert one.overlap is not None
    assert one.overlap.ess == pytest.approx(
        sum(is_held_out(f"user-{user}", "s", SHARE) for user in range(USERS))
    )
    caused = (BUYS_TREATED - BUYS) * MARGIN - COST  # 40 x .25 is 10, too
    truth = -(1 - SHARE) * MOMENTS * caused
    for name in ("ips", "snips", "dr", "switch_dr"):
        total = one.difference[name]
        assert total.low < truth < total.high, name
    assert one.difference["dr"].high < 0
    assert found.together.value == pytest.approx(one.difference["dr"].value)


def test_a_campaign_that_nobody_was_left_without_is_refused(tmp_path: Path) -> None:
    settings = archived(tmp_path, shop(40, 0.0), policy(0.0))
    found = asked(settings, policy(0.0), without(policy(0.0)))
    (one,) = found.earned
    assert "no shopper was left without winback at the 80 moments" in one.refused
    assert "raise holdout.share (it was 0)" in one.refused
    assert one.difference is None
    assert found.changes, "what it would have done is told all the same"


def test_an_offer_that_nobody_was_given_is_refused_and_so_is_a_new_campaign(settings: Settings) -> None:
    (one,) = asked(settings, policy(SHARE), policy(SHARE, value=7.0)).earned
    assert "nobody was ever given coupon value 7.0" in one.refused
    new = policy(SHARE)
    other = new.model_copy(
        update={"campaigns": [*new.campaigns, new.campaigns[0].model_copy(update={"id": "other"})]}
    )
    assert "had no other" in asked(settings, policy(SHARE), other).earned[1].refused


def test_too_few_left_alone_are_refused_with_their_number(settings: Settings) -> None:
    (one,) = asked(settings, policy(SHARE), without(policy(SHARE)), least_ess=500).earned
    assert "effective sample size" in one.refused
    assert "want 500" in one.refused


def test_moments_at_which_only_the_new_policy_acts_are_refused(settings: Settings) -> None:
    (one,) = asked(settings, policy(SHARE), policy(SHARE, cooldown_hours=0.0)).earned
    assert one.rounds is not None
    assert one.rounds.elsewhere == 2 * USERS
    assert "never acted" in one.refused


def test_an_arm_that_gets_all_the_shoppers_is_told_from_those_who_had_it(tmp_path: Path) -> None:
    arms = [{"name": "none", "share": 50, "nothing": True}, {"name": "some", "share": 50}]
    of = policy(0.0, experiment={"salt": "x", "arms": arms})
    compiled = CompiledPolicy(of, TASKS)
    campaign = of.campaigns[0]
    rows = shop(400, 0.0, lambda user: not compiled.variant(campaign, user).nothing)
    settings = archived(tmp_path, rows, of)
    (one,) = asked(settings, of, policy(0.0)).earned
    assert one.refused == ""
    assert one.rounds is not None
    assert len(one.rounds) == 800
    assert set(one.rounds.propensity) == {0.5}
    assert one.difference is not None
    truth = 0.5 * 800 * ((BUYS_TREATED - BUYS) * MARGIN - COST)
    assert one.difference["dr"].low < truth < one.difference["dr"].high


ARMS = [{"name": "none", "share": 50, "nothing": True}, {"name": "some", "share": 50}]


def learning() -> Policy:
    """The shop's policy, whose arms are learnt."""
    how = {"floor": 10, "margin_share": 0.5, "method": "greedy"}
    return policy(SHARE, {"salt": "x", "arms": ARMS, "learning": how}, attribution_hours=24)


def test_arms_that_the_new_policy_learns_are_dealt_by_its_shares_or_by_what_was_learnt(
    settings: Settings,
) -> None:
    new = learning()
    plain = asked(settings, policy(SHARE), new)
    assert "are dealt by its shares: nothing that was learnt is at hand" in plain.learnt[0]
    state = preferring(new, "some")
    found = asked(settings, policy(SHARE), new, learnt={"winback": state})
    assert f"version {state.version} of 600 outcomes" in found.learnt[0]
    few = asked(settings, policy(SHARE), new, learnt={"winback": preferring(new, "some", 9)})
    assert "are dealt by its shares: 9 outcomes are fewer than its least_outcomes" in few.learnt[0]
    others = asked(settings, policy(SHARE), new, learnt={"winback": preferring(new, "some", tasks=TASKS[1:])})
    assert "are dealt by its shares: what was learnt is by" in others.learnt[0]
    acting = (1 - SHARE) * MOMENTS * ((BUYS_TREATED - BUYS) * MARGIN - COST)
    for one, gone in (
        (plain.earned[0], 0.5),
        (found.earned[0], 0.05),
    ):  # left alone by the arms: half, half the floor
        assert one.rounds is not None
        assert one.rounds.after[:, 1] == pytest.approx((1 - SHARE) * (1 - gone))
        assert one.difference is not None
        assert one.difference["dr"].low < -gone * acting < one.difference["dr"].high
    emitted = found.after["winback"]["emitted"]
    assert plain.after["winback"]["emitted"] < emitted


def test_what_arms_that_were_learnt_earned_is_left_to_the_effect_report(settings: Settings) -> None:
    (one,) = asked(settings, learning(), policy(SHARE)).earned
    assert "`intentflow effect` weighs" in one.refused


def test_windows_that_are_still_open_are_left_out(settings: Settings) -> None:
    """The archive ends on day 20 with the last shopper, whose second click is ten days before that."""
    margin = Margin(10 * 24 * 3_600_000 + 1000)
    found = evaluate(settings, policy(SHARE), without(policy(SHARE)), Interval(*interval()), margin)
    rounds = found.earned[0].rounds
    assert rounds is not None
    assert len(rounds) == MOMENTS - 1  # the last shopper's
    assert rounds.open == 1


def test_what_was_told_and_sent_before_the_interval_counts(tmp_path: Path) -> None:
    rows = [
        event(1, 0, event_type="click"),
        event(1, 2, event_type="consent", properties={"channel": "coupon", "granted": "false"}),
        event(2, 3, event_type="click"),
        event(3, 4, event_type="search", properties={"time_zone": "Asia/Tokyo"}),
        event(1, 61, event_type="click"),
        event(2, 62, event_type="click"),
        event(3, 63, event_type="click"),
    ]
    quiet = {"quiet_hours": [{"from": "08:00", "until": "09:00"}]}  # in Tokyo it is 08:16, in UTC 23:16
    of = policy(0.0, top=quiet)
    settings = archived(tmp_path, rows, of, parts=2)
    start = int(rows[4]["event_time"])
    found = evaluate(settings, of, of, Interval(start, start + 600_000), Margin(1))
    assert found.before == {"winback": Counter(no_consent=1, cooldown=1, quiet_hours=1)}
    assert (found.shared, found.same) == (3, 3)


def test_what_a_learnt_arm_withheld_before_the_interval_counts(tmp_path: Path) -> None:
    arms = [{"name": "none", "share": 99.999999, "nothing": True}, {"name": "some", "share": 0.000001}]
    how = {"floor": 1e-6, "margin_share": 0.5}
    of = policy(0.0, {"salt": "x", "arms": arms, "learning": how}, attribution_hours=24)
    rows = [event(2, 3, event_type="click"), event(2, 62, event_type="click")]
    start = int(rows[1]["event_time"])
    found = evaluate(
        archived(tmp_path, rows, of), of, of, Interval(start, start + 600_000), Margin(24 * 3_600_000)
    )
    assert found.before == {"winback": Counter(cooldown=1)}
    assert (found.shared, found.same) == (1, 1)


def test_an_old_event_is_judged_by_the_clock_of_its_scoring(tmp_path: Path) -> None:
    of = policy(0.0, top={"max_age_minutes": 10.0})
    settings = archived(tmp_path, shop(5, 0.0), of)
    found = asked(settings, of, policy(0.0))
    assert found.before == {"winback": Counter(stale=20)}
    assert found.same == 20
    assert found.after == {"winback": Counter(emitted=10, cooldown=10)}


@pytest.mark.parametrize("partitions", [1, 3])
def test_what_waited_is_ended_and_rings_as_it_did_live(partitions: int, tmp_path: Path) -> None:
    """By events that trigger nothing, by other shoppers' time, and by the clock after the last event."""
    rows = [
        event(1, 0, event_type="add_to_cart"),
        event(2, 1, event_type="add_to_cart"),
        event(3, 3, event_type="search"),
        event(4, 4, event_type="search"),
        event(1, 10, event_type="page_view"),
        event(4, 11, event_type="consent", properties={"channel": "push", "granted": "false"}),
        event(3, 20),  # a purchase
        event(5, 40, event_type="add_to_cart"),
        event(6, 50, event_type="search"),
    ]
    campaigns = [
        one.model_copy(update={"cooldown_after_purchase_hours": 24.0}) for one in waiting().policy.campaigns
    ]
    of = waiting().policy.model_copy(update={"campaigns": campaigns})
    end = START + 75 * 60_000
    settings = archived(tmp_path, rows, of, 3, end, partitions)
    found = evaluate(settings, of, of, Interval(START, end + 1), Margin(1))
    assert found.before == {
        "winback": Counter(emitted=2),
        "reminder": Counter(deferred=3, after_purchase=1, no_consent=1),
    }
    assert (found.shared, found.same) == (7, 7)
    longer = evaluate(settings, of, of, Interval(START, end + 10 * 60_000), Margin(1))
    assert longer.before["reminder"]["emitted"] == 1


def test_a_budget_is_shared_by_the_partitions_as_live(tmp_path: Path) -> None:
    of = policy(0.0, budget={"count": 8, "pacing": "none"})
    settings = archived(tmp_path, [event(user, user, event_type="click") for user in range(10)], of)
    assert asked(settings, of, of).before == {"winback": Counter(emitted=8, budget=2)}
    four = settings.model_copy(update={"partitions": 4})
    assert asked(four, of, of).before == {"winback": Counter(emitted=2, budget=8)}


def test_an_archive_without_predictions_is_refused_in_words(tmp_path: Path) -> None:
    settings = Settings(archive_uri=str(tmp_path))
    with pytest.raises(SourceProblem, match="no events; archive them first"):
        asked(settings, policy(), policy())


def test_nothing_of_it_can_reach_what_sends() -> None:
    graph = reached(ROOT / "streams" / "whatif")
    for module, names in graph.items():
        assert not names & set(SENDING), module
    assert len(graph) > 30
    for module in (ROOT / "streams" / "whatif").glob("*.py"):
        assert "Producer" not in module.read_text(encoding="utf-8")


def test_the_command_tells_it_to_people_and_programs(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("archive_uri", "releases_uri", "event_max_age_days", "ring_events"):
        monkeypatch.setenv(f"INTENTFLOW_{name.upper()}", str(getattr(settings, name)))
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_text(policy(SHARE).to_yaml(), encoding="utf-8")
    new.write_text(without(policy(SHARE)).to_yaml(), encoding="utf-8")
    args = ["policy", "evaluate", str(new), "--against", str(old), "--window-days", "3"]
    args += ["--from", "2023-11-14T22:13:20", "--to", "2023-11-29"]

    def run(*more: str) -> str:
        result = CliRunner().invoke(app, [*args, *more])
        assert result.exit_code == 0, f"{result.output}\n{result.exception!r}"
        return result.output

    told = run("--out", str(tmp_path / "changes.csv"))
    assert "are dealt by" not in told
    assert "gives 100.00% of its 2,400 logged decisions the same reason" in told
    assert "600 of 600 shoppers would have been decided about differently" in told
    assert "largest weight" in told
    with (tmp_path / "changes.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2400
    assert {row["after_reason"] for row in rows} == {""}
    found = json.loads(run("--json"))
    assert found["agreement"] == {"decisions": 2400, "same": 2400}
    assert set(found["earned"][0]["difference"]) == {"ips", "snips", "dm", "dr", "switch_dr"}
    assert "shopper user-3: 4 decisions would have been others" in run("--shopper", "user-3")
    assert "no shopper nobody in the archive" in run("--shopper", "nobody")
    assert yaml.safe_load(old.read_text(encoding="utf-8"))["holdout"]["share"] == SHARE
