"""The report on a shop whose truth is known, and its page."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from models.effect.assigned import Past
from models.effect.report import DATA, Spend, judge
from models.replay.source import Interval, SourceProblem
from tests.models.effect.shop import DAY, decisions

INTERVAL = Interval(0, 20 * DAY)


def test_it_finds_what_the_campaigns_brought() -> None:
    report = judge(decisions(20_000), INTERVAL, 0.3)
    assert report.overall is not None
    margin = report.overall.figure("margin")
    # Four in five are sent something: 0.75 orders of 30 more by exp(0.4) - 1, less 0.5 each.
    truth = 0.8 * (0.75 * 30 * 0.3 * np.expm1(0.4) - 0.5)
    assert margin.best.interval is not None
    assert margin.best.interval.low < truth < margin.best.interval.high
    assert margin.verdict == "sure"
    assert margin.total == pytest.approx(margin.best.value * report.overall.shoppers["treated"])
    assert report.overall.figure("revenue_per_order").verdict == "open"
    assert report.overall.sent == pytest.approx(0.8, abs=0.02)
    assert not report.overall.balance.alarm
    assert [one.name for one in report.campaigns] == ["coupon", "push"]
    assert len(report.overall.deciles) == 10
    assert report.reasons["push"]["emitted"] > report.reasons["push"]["holdout"]


def test_without_an_effect_its_p_values_are_uniform() -> None:
    found = []
    for seed in range(200):
        report = judge(decisions(1_500, effect=0.0, seed=seed, coupon_cost=np.zeros(1_500)), INTERVAL, 0.3)
        assert report.overall is not None
        p_value = report.overall.figure("margin").best.p_value
        assert p_value is not None
        found.append(p_value)
    assert stats.kstest(found, "uniform").pvalue > 0.01


def test_an_arm_is_held_against_its_control() -> None:
    rows = decisions(9_000)
    arm = np.where(np.arange(9_000) % 3 == 0, "control", "five")
    sent = rows.reason == "emitted"
    reason = np.where(sent & (arm == "control"), "control", rows.reason)
    chance = np.where(rows.reason == "holdout", 0.2, 0.8 * np.where(arm == "control", 1 / 3, 2 / 3))
    report = judge(replace(rows, arm=arm, reason=reason, propensity=chance), INTERVAL, 0.3)
    assert [one.title for one in report.arms] == [
        "coupon: arm five against control",
        "push: arm five against control",
    ]
    assert not any(one.balance.alarm for one in report.arms)
    # In this shop a control bought as if it had been sent something: no effect.
    assert abs(report.arms[0].figure("revenue").best.value) < 3 * report.arms[0].figure("revenue").best.error


def test_lost_shoppers_raise_the_alarm_at_the_top_of_the_page(tmp_path: Path) -> None:
    rows = decisions(20_000)
    kept = (rows.reason == "holdout") | (np.arange(20_000) % 4 > 0)
    report = judge(rows[kept], INTERVAL, 0.3)
    assert report.overall is not None
    assert report.overall.balance.alarm
    text = report.write(tmp_path).read_text()
    assert text.index("do not trust these figures") < text.index("At a glance")


def test_the_page_is_whole_well_formed_and_says_what_stands_in_its_json(tmp_path: Path) -> None:
    rows = decisions(6_000)
    bought = Past(rows.user, rows.time - DAY, np.random.default_rng(0).random(6_000))
    spent = {"push": Spend(100, 0.0, 5.0, 5.0, None), "coupon": Spend(200, 90.0, 0.0, 80.0, 100.0)}
    report = judge(rows, INTERVAL, 0.3, bought, spent=spent)
    page = report.write(tmp_path)
    tree = ET.fromstring(page.read_text().removeprefix("<!DOCTYPE html>\n"))
    ids = [element.get("id") for element in tree.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    text = "".join(tree.itertext())
    for said in (
        "What campaigns brought, 1970-01-01 to 1970-01-21",
        "Campaigns brought",
        "held out",
        "80%",
        "At a glance",
    ):
        assert said in text
    found = json.loads((tmp_path / DATA).read_text())
    assert found["comparisons"]["overall"]["metrics"]["margin"]["verdict"] == "sure"
    assert found["spend"]["coupon"]["spent"] == 90.0
    assert found["comparisons"]["overall"]["metrics"]["margin"]["variance_cut"] is not None


def test_with_nobody_held_out_it_says_so(tmp_path: Path) -> None:
    rows = decisions(500)
    report = judge(rows[rows.reason != "holdout"], INTERVAL, 0.3)
    assert report.overall is None
    assert any("Nobody was held out" in note for note in report.notes)
    report.write(tmp_path)


def test_a_margin_that_nobody_told_is_pointed_out() -> None:
    assert any("--margin-share" in note for note in judge(decisions(500), INTERVAL).notes)
    told = decisions(500, margin=np.full(500, 3.0))
    assert not any("--margin-share" in note for note in judge(told, INTERVAL).notes)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceProblem, match="cannot be written"):
        judge(decisions(100), INTERVAL).write(tmp_path / "file")
