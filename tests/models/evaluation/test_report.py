"""The page is whole, well-formed and complete, with plots or without; its JSON says the same."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from models.evaluation import plots
from models.evaluation.asked import (
    BASELINE,
    BOOSTING,
    CONSTANT,
    MODEL,
    Asked,
    AskedAmount,
    AskedNames,
    AskedTypes,
    NotAsked,
)
from models.evaluation.html import page
from models.evaluation.judged import judge, judge_amount, judge_names, judge_types
from models.evaluation.leakage import Check
from models.evaluation.report import DATA, PAGE, Report
from models.evaluation.thresholds import Threshold
from models.replay.source import Interval, SourceProblem

ROWS = 300
DAY = 86_400_000


def asked(name: str, labels: np.ndarray, folds: bool = False) -> Asked:
    rng = np.random.default_rng(3)
    scores = {
        MODEL: np.clip(0.5 * labels + 0.5 * rng.random(ROWS), 0, 1),
        BASELINE: rng.random(ROWS),
        BOOSTING: rng.random(ROWS),
        CONSTANT: np.full(ROWS, 0.4),
    }
    return Asked(
        name,
        f"buys <again> & {name}",
        np.arange(ROWS) % 50,
        labels,
        scores,
        {predictor: said >= 0.5 for predictor, said in scores.items()},
        dict.fromkeys(scores, (Threshold(0.5, "given"),)),
        7,
        {"device": np.where(np.arange(ROWS) % 2, "app", "store")},
        {"as trained": scores[BASELINE]},
        np.arange(ROWS) % 3 if folds else None,
    )


def report() -> Report:
    rng = np.random.default_rng(4)
    labels = rng.random(ROWS) < 0.4
    shopper = np.arange(ROWS) % 50
    came = rng.random(ROWS) * 10
    amount = AskedAmount(
        "wait",
        "days to wait",
        "days",
        shopper,
        came,
        {MODEL: came + 1, BASELINE: came - 2, CONSTANT: came * 0},
        0,
    )
    named = rng.random((ROWS, 5)) < 0.3
    names = AskedNames(
        "next", shopper, named.sum(1) + 1, {MODEL: named, BASELINE: named, CONSTANT: ~named & False}, 0
    )
    kind = rng.integers(0, 3, ROWS)
    shares = np.full((ROWS, 3), 0.25)
    shares[np.arange(ROWS), np.where(rng.random(ROWS) < 0.7, kind, 0)] = 0.5
    types = AskedTypes(
        "next_type",
        "the next type",
        ("view", "cart", "<buy>"),
        shopper,
        kind,
        {MODEL: shares, CONSTANT: np.full((ROWS, 3), 1 / 3)},
        4,
    )
    return Report(
        Interval(0, 100 * DAY),
        Interval(100 * DAY, 200 * DAY),
        (judge(asked("buy_7d", labels)), judge(asked("buy_3d", labels, folds=True))),
        (judge_amount(amount),),
        judge_names(names),
        (NotAsked("redeem", "redeems", "no campaign was mailed"),),
        "by time",
        "intent-1",
        (
            {"number": 1, "train_loss": 2.0, "held_out_loss": 1.5},
            {"number": 2, "train_loss": 1.0, "held_out_loss": 1.2},
        ),
        (Check("shuffled labels", "AUC 0.5", "0.5 ± 0.1"),),
        next_type=judge_types(types),
    )


REPORT = report()


def test_the_page_is_well_formed_has_every_section_and_needs_nothing_else() -> None:
    text = page(REPORT)
    root = ElementTree.fromstring(text.removeprefix("<!DOCTYPE html>\n"))
    sections = {one.get("id") for one in root.iter("{http://www.w3.org/1999/xhtml}section")}
    wanted = {
        "glance",
        "buy_7d",
        "buy_3d",
        "not-asked",
        "amounts",
        "next-category",
        "next-type",
        "learning",
        "leakage",
        "method",
    }
    assert wanted <= sections
    titles = [one.get("aria-label") for one in root.iter("{http://www.w3.org/2000/svg}svg")]
    for title in (
        "ROC curves",
        "Precision over recall",
        "Cumulative gain",
        "Calibration",
        "Confusion matrix",
    ):
        assert titles.count(title) == 2
    assert "Learning curves" in titles
    assert "<script" not in text
    assert "Folds" in text
    for one in root.iter():
        for name in ("src", "href", "{http://www.w3.org/1999/xlink}href"):
            assert (one.get(name) or "#").startswith("#"), one.attrib
    ids = [one.get("id") for one in root.iter() if one.get("id")]
    assert len(ids) == len(set(ids))


def test_without_matplotlib_the_page_has_no_plots_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "available", lambda: False)
    text = page(REPORT)
    assert "<svg" not in text
    assert "matplotlib is not installed" in text
    ElementTree.fromstring(text.removeprefix("<!DOCTYPE html>\n"))


def test_one_outcome_only_is_a_sentence_in_the_page_and_in_the_table(tmp_path: Path) -> None:
    alone = judge(asked("buy_30d", np.ones(ROWS, bool)))
    assert alone.model.auc is None
    only = replace(REPORT, comparisons=(alone,))
    only.write(tmp_path)
    assert "same outcome" in (tmp_path / PAGE).read_text()
    assert only.tables()
    assert json.loads((tmp_path / DATA).read_text())["tasks"]["buy_30d"]["model"]["auc"] is None


def test_a_report_of_nothing_can_be_written() -> None:
    empty = replace(
        REPORT, comparisons=(), amounts=(), next_category=None, next_type=None, epochs=(), leakage=()
    )
    assert "Not checked in this run" in page(empty)
    assert empty.tables()
    assert empty.how == ""


@pytest.fixture
def unplotted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes most of the time."""
    monkeypatch.setattr(plots, "available", lambda: False)


@pytest.mark.usefixtures("unplotted")
def test_the_json_has_every_figure_beside_its_interval(tmp_path: Path) -> None:
    assert REPORT.write(tmp_path / "deep" / "er") == tmp_path / "deep" / "er" / PAGE
    found = json.loads((tmp_path / "deep" / "er" / DATA).read_text())
    task = found["tasks"]["buy_7d"]
    for name in (
        "auc",
        "average_precision",
        "log_loss",
        "brier",
        "ece",
        "accuracy",
        "precision",
        "recall",
        "f1",
    ):
        low, high = task["model"]["intervals"][name]
        assert low <= high
        assert task["differences"]["baseline"][name]["value"] == pytest.approx(
            task["model"][name] - task["baseline"][name]
        )
    assert task["model"]["thresholds"] == [{"value": 0.5, "rule": "given"}]
    types = found["tasks"]["next_type"]
    for name in ("accuracy", "log_loss", "auc", "average_precision"):
        low, high = types["model"]["intervals"][name]
        assert low < types["model"][name] < high
    assert np.sum(types["model"]["confusion"]) == ROWS
    assert found["tasks"]["wait"]["model"]["mae"] == pytest.approx(1.0)
    assert found["not_asked"] == {"redeem": "no campaign was mailed"}
    assert sorted(path.name for path in (tmp_path / "deep" / "er").iterdir()) == [PAGE, DATA]


@pytest.mark.usefixtures("unplotted")
def test_a_report_that_cannot_be_written_leaves_the_old_one_and_nothing_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    REPORT.write(tmp_path)
    before = (tmp_path / DATA).read_text()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SourceProblem, match=r"No space left on device.*--report"):
        REPORT.write(tmp_path)
    assert (tmp_path / DATA).read_text() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [PAGE, DATA]


def test_folds_are_ranked_each_for_itself() -> None:
    """A constant per fold ranks nothing, though the folds' constants differ; so does the lead of a model over it."""
    rng = np.random.default_rng(6)
    folds = np.arange(600) % 3
    labels = rng.random(600) < np.array([0.3, 0.5, 0.7])[folds]
    scores = {
        MODEL: np.clip(labels * 0.2 + rng.random(600) * 0.8, 0, 1),
        BASELINE: np.array([0.7, 0.5, 0.3])[folds],
    }
    said = {name: values > 0.5 for name, values in scores.items()}
    thresholds = dict.fromkeys(scores, (Threshold(0.5, "given"),) * 3)
    one = judge(Asked("q", "q", np.arange(600) // 4, labels, scores, said, thresholds, 0, folds=folds))
    assert one.baseline.auc == 0.5
    assert one.predictors[BASELINE].intervals["auc"] == (0.5, 0.5)
    assert one.model.auc == pytest.approx(np.mean([fold.auc for fold in one.folds]))
    low, high = one.predictors[MODEL].intervals["auc"]
    assert low < one.model.auc < high


def test_paired_differences_are_narrower_than_the_figures_they_are_of() -> None:
    rng = np.random.default_rng(5)
    hard = np.repeat(rng.random(60) < 0.5, 10)  # shoppers whom nobody can predict
    labels = rng.random(600) < 0.5
    good = np.where(hard, 0.5, np.where(labels, 0.8, 0.2)) + 0.01 * rng.random(600)
    scores = {MODEL: good, BASELINE: np.clip(good + 0.05 * rng.normal(size=600), 0, 1)}
    one = judge(
        Asked(
            "q",
            "q",
            np.repeat(np.arange(60), 10),
            labels,
            scores,
            {name: said > 0.5 for name, said in scores.items()},
            dict.fromkeys(scores, (Threshold(0.5, "given"),)),
            0,
        )
    )
    lead, auc = one.differences[BASELINE]["auc"].interval, one.predictors[MODEL].intervals["auc"]
    assert lead is not None
    assert lead.high - lead.low < (auc.high - auc.low) / 2


def test_figures_of_types_are_those_of_scikit_learn_and_their_draws_those_of_the_rows() -> None:
    from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

    from models import metrics
    from models.evaluation.bootstrap import OneOf, Resamples

    rng = np.random.default_rng(7)
    came = rng.integers(0, 3, ROWS)
    scores = rng.dirichlet(np.ones(4), ROWS)
    scores[:, 3] = 0  # a type that never comes
    scores /= scores.sum(1, keepdims=True)
    one = metrics.types(came, scores)
    assert one.accuracy == pytest.approx(accuracy_score(came, scores.argmax(1)))
    assert one.log_loss == pytest.approx(log_loss(came, scores[:, :3]))
    assert one.auc == pytest.approx(roc_auc_score(came, scores[:, :3], multi_class="ovr", average="macro"))
    resamples = Resamples(np.arange(ROWS) // 3)
    drawn = OneOf(resamples, came, scores)(np.ones((1, resamples.shoppers)), 1)
    for name in ("accuracy", "log_loss", "auc", "average_precision"):
        assert drawn[name][0] == pytest.approx(getattr(one, name))
    with pytest.raises(ValueError, match="at least one"):
        metrics.types(np.empty(0, int), np.empty((0, 3)))
