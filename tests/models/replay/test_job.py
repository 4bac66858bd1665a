"""The job from archived events to a release that an engine serves, by its command line, and its errors."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models import engine, item_head, release
from models.featurizer import FeatureSpec
from models.replay.__main__ import main
from models.replay.card import popular
from models.replay.given import offsets
from models.replay.options import parser
from models.replay.scoring import score
from models.replay.source import SourceProblem
from models.replay.train import Recipe
from schemas.settings import Settings
from tests.models.replay.shop import event, in_environment, rows, sequences, write

INTERVAL = ["--from", "2017-01-01", "--train-until", "2017-04-01", "--to", "2017-06-01"]


@pytest.fixture
def shop(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An archive of 40 shoppers, settings in the environment, and a recipe of two epochs."""
    monkeypatch.setattr(Recipe, "fast", lambda recipe: replace(recipe, lanes=16, epochs=2))
    in_environment(settings, monkeypatch)
    write(Path(settings.archive_uri), rows(shoppers=40, days=150))
    return settings


def test_run_writes_a_release_with_its_metrics(shop: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *INTERVAL, "--fast", "--seed", "3"]) == 0, capsys.readouterr().err
    (folder,) = Path(shop.releases_uri).iterdir()
    card = release.read(str(folder)).card
    assert card.seed == 3
    assert (card.data_from[:10], card.data_until[:10]) == ("2017-01-01", "2017-04-01")
    assert card.metrics["bounds"]["task"] == "buy_7d"
    assert {"buy_7d", "lapse_30d", "next_category"} <= card.metrics["evaluation"]["tasks"].keys()
    assert all(items[0].startswith("item-") for items in card.popular.values())
    assert json.loads((folder / "release.json").read_text())["git_revision"]
    head = item_head.load(release.read(str(folder)))
    assert head is not None
    assert all(item.startswith("item-") for item in head.items)
    assert card.metrics["next_item"]["items"] == len(head.items)
    out = capsys.readouterr().out
    assert "buys again within 7 days of a basket" in out
    assert f"intentflow models promote {folder.name}" in out
    _scores_offline_as_step_by_step(str(folder))
    report = Path(shop.releases_uri).parent / "reports" / folder.name
    assert sorted(path.name for path in report.iterdir()) == ["report.html", "report.json"]
    assert "Learning curves" in (report / "report.html").read_text()
    assert (
        main(
            [
                "evaluate",
                *INTERVAL,
                "--release",
                folder.name,
                "--check-leakage",
                "--report",
                str(report / "2"),
            ]
        )
        == 0
    )
    first, again = (
        json.loads((folder / "report.json").read_text(), parse_float=lambda text: round(float(text), 9))
        for folder in (report, report / "2")
    )
    assert again["tasks"] == first["tasks"]  # one seed, one result
    assert len(again["leakage"]) == 7
    late = [
        "--from",
        "2017-01-01",
        "--train-until",
        "2017-03-01",
        "--to",
        "2017-06-01",
        "--release",
        folder.name,
    ]
    assert main(["evaluate", *late]) == 1
    assert "score what it has seen" in capsys.readouterr().err


def test_by_user_a_release_is_judged_on_shoppers_that_it_has_not_seen(
    shop: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    by_user = ["--from", "2017-01-01", "--to", "2017-06-01", "--split", "user", "--seed", "4"]
    assert main(["run", *by_user, "--fast", "--threshold", "0.5"]) == 0, capsys.readouterr().err
    (folder,) = Path(shop.releases_uri).iterdir()
    card = release.read(str(folder)).card
    assert card.metrics["split"] == {"kind": "user", "seed": 4}
    task = card.metrics["evaluation"]["tasks"]["buy_3d"]
    assert task["bootstrap"]["shoppers"] < 15
    assert {one["rule"] for one in task["model"]["thresholds"]} == {"given"}
    other = [*by_user[:-1], "5", "--release", folder.name]
    assert main(["evaluate", *other]) == 1
    assert "may have learnt from the shoppers" in capsys.readouterr().err


def test_k_folds_score_every_shopper_by_a_model_that_has_not_seen_it(
    shop: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    by_fold = ["--from", "2017-01-01", "--to", "2017-06-01", "--split", "kfold", "--folds", "3"]
    assert main(["run", *by_fold, "--fast"]) == 0, capsys.readouterr().err
    (folder,) = Path(shop.releases_uri).iterdir()
    task = release.read(str(folder)).card.metrics["evaluation"]["tasks"]["buy_3d"]
    assert task["bootstrap"]["shoppers"] > 35
    assert len(task["folds"]) == len(task["model"]["thresholds"]) == 3
    assert sum(fold["rows"] for fold in task["folds"]) == task["model"]["rows"]
    assert main(["evaluate", *by_fold, "--release", folder.name]) == 1
    assert "leave --release out" in capsys.readouterr().err


def _scores_offline_as_step_by_step(uri: str) -> None:
    """Scoring shoppers together in rounds is one step per event with carried state, shopper by shopper."""
    backend, spec = engine.load(uri), FeatureSpec()
    few = sequences(rows(shoppers=5, days=20, seed=1))
    features = few.features(spec)
    ((at, scores),) = score(few, backend, spec, np.ones(len(few), bool))
    assert at.tolist() == list(range(len(few)))
    for shopper in range(len(few.users)):
        hidden = np.zeros((1, backend.state_size), np.float32)
        for row in range(few.bounds[shopper], few.bounds[shopper + 1]):
            trunk, hidden = backend.step(features.ids[row : row + 1], features.dense[row : row + 1], hidden)
            np.testing.assert_allclose(backend.heads(trunk).survival[0], scores.survival[row], atol=1e-5)


def test_popular_items_are_the_most_bought_of_their_category() -> None:
    events = [event("a", 1_500_000_000_000 + at, item_id=item) for at, item in enumerate("xyyzzz")]
    assert popular([sequences(events)], {"milk"}) == {"milk": ("z", "y", "x")}
    assert popular([sequences(events)], {"bread"}) == {}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["build", "--from", "2017-02-01", "--to", "2017-01-01"], "--from before --to"),
        (["build", "--from", "2030-01-01", "--to", "2030-02-01"], "choose another interval"),
        (
            ["run", "--from", "2017-01-01", "--train-until", "2018-01-01", "--to", "2017-02-01"],
            "--train-until",
        ),
        (["evaluate", *INTERVAL, "--release", "nowhere"], "intentflow models list"),
        (["build", "--from", "2017-01-01", "--to", "2017-02-01", "--offsets", "0:1-2"], "give --topics"),
        (["run", "--from", "2017-01-01", "--to", "2017-02-01"], "--train-until is missing"),
        (["run", *INTERVAL, "--split", "user"], "leave --train-until out"),
        (["evaluate", *INTERVAL, "--threshold", "5"], "probability within"),
        (
            ["run", "--from", "2017-01-01", "--to", "2017-02-01", "--split", "kfold", "--folds", "2"],
            "at least 3",
        ),
    ],
)
def test_mistakes_end_in_one_line_that_says_what_to_do(
    shop: Settings, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_offsets_are_read_and_checked() -> None:
    assert offsets(["0:5-9", "1:0-3"], topics=True) == {0: (5, 9), 1: (0, 3)}
    with pytest.raises(SourceProblem, match="PARTITION:FIRST-STOP"):
        offsets(["0:9"], topics=True)


def test_help_has_examples_that_parse() -> None:
    text = parser().format_help()
    assert "intentflow replay run" in text
    for line in text.splitlines():
        if line.startswith("  intentflow replay"):
            parser().parse_args(line.split()[2:])


def test_a_recipe_may_leave_the_next_item_head_out(shop: Settings, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("items: 0\nepochs: 1\n")
    assert main(["train", *INTERVAL, "--recipe", str(recipe)]) == 0
    (folder,) = Path(shop.releases_uri).iterdir()
    assert item_head.load(release.read(str(folder))) is None
    assert "next_item" not in release.read(str(folder)).card.metrics
