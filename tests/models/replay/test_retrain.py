"""Retraining: rounds on a schedule or on drift, a warm start that says why not, and a promotion only of what is better."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import promotion
from models.architecture import Architecture
from models.release import Release, read, write
from models.replay import retrain
from models.replay.__main__ import WORDED, main
from models.replay.history import DAY_MS
from models.replay.options import parser
from models.replay.source import SourceProblem
from models.replay.train import Recipe, train
from schemas import topics
from schemas.settings import Settings
from tests.models.releases import card
from tests.models.replay import shop
from tests.models.replay.shop import START, event, in_environment, rows, sequences
from tests.models.replay.test_search import BASE
from tests.models.replay.test_train import RECIPE

EVENTS = rows(shoppers=60, days=60)
UNTIL = START + 50 * DAY_MS


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """A release trained for three epochs on EVENTS."""
    trained = train(sequences(EVENTS), UNTIL, RECIPE, 0)
    about = card(
        categories=trained.words.names,
        popular={},
        features=RECIPE.features,
        architecture=trained.architecture,
    )
    return write(str(tmp_path_factory.mktemp("releases")), about, trained.weights)


def test_a_warm_start_begins_where_the_release_ended(first: Release) -> None:
    cold = train(sequences(EVENTS), UNTIL, RECIPE, 0)
    warm = train(sequences(EVENTS), UNTIL, replace(RECIPE, rate=1e-3), 0, warm=first)
    assert warm.words.names == first.card.categories
    assert warm.epochs[0].held_out_loss < cold.epochs[0].held_out_loss
    assert warm.epochs[0].held_out_loss < cold.epochs[-1].held_out_loss * 1.01


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (replace(RECIPE, features=replace(RECIPE.features, item_buckets=32)), "made for features"),
        (replace(RECIPE, architecture=Architecture(sizes=(16, 16))), "its network is Architecture"),
    ],
)
def test_weights_that_do_not_fit_are_refused_with_the_reason(
    first: Release, recipe: Recipe, said: str
) -> None:
    with pytest.raises(SourceProblem, match=said):
        train(sequences(EVENTS), UNTIL, recipe, 0, warm=first)


def test_dropout_may_differ_and_new_categories_may_not_be_many(first: Release) -> None:
    other = replace(RECIPE, epochs=1, architecture=replace(RECIPE.architecture, dropout=0.5))
    train(sequences(EVENTS), UNTIL, other, 0, warm=first)
    new = [event(f"user-{at % 50}", UNTIL - 1000 - at, category_id="new") for at in range(len(EVENTS) // 4)]
    with pytest.raises(SourceProblem, match="its vocabulary lacks categories of"):
        train(
            sequences(sorted([*EVENTS, *new], key=lambda row: row["event_time"])), UNTIL, other, 0, warm=first
        )


@pytest.mark.parametrize("text", ["", "1", "1w", "0d", "-1d"])
def test_times_are_checked(text: str) -> None:
    assert retrain.duration("90m", "--every") == 5400
    with pytest.raises(SourceProblem, match="--every is"):
        retrain.duration(text, "--every")


@pytest.fixture
def archived(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The command's arguments over an archive of 60 shoppers; the topics are there."""
    in_environment(settings, monkeypatch)
    shop.write(Path(settings.archive_uri), rows(shoppers=60, days=150))
    (tmp_path / "base.yaml").write_text(BASE)
    return ["retrain", "--window", "150d", "--now", "2017-05-30", "--recipe", str(tmp_path / "base.yaml")]


@pytest.mark.embedded
def test_rounds_train_promote_go_on_warm_and_wait_for_drift(
    archived: list[str], settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    topics.create(settings)
    assert main(archived) == 0, capsys.readouterr().err
    now = promotion.promoted(settings)
    assert now is not None
    assert f"promoted {now.release}" in capsys.readouterr().out
    assert (Path(now.uri) / "reference.json").is_file()

    assert main([*archived, "--warm", "promoted", "--no-promote"]) == 0, capsys.readouterr().err
    out = capsys.readouterr().out
    assert "would be promoted" in out or "is not promoted" in out
    folders = {folder.name for folder in Path(settings.releases_uri).iterdir()} - {now.release}
    (second,) = folders
    assert read(str(Path(settings.releases_uri) / second)).card.metrics["warm_from"] == now.release

    assert main([*archived, "--judge", "90d"]) == 0
    assert "from some of the judged days, and would win unfairly" in capsys.readouterr().out

    assert main([*archived, "--when-drift", "--no-promote"]) == 0
    out = capsys.readouterr().out
    trained = len(list(Path(settings.releases_uri).iterdir())) - 2
    assert trained == ("no drift that counts" not in out)
    promoted = promotion.promoted(settings)
    assert promoted is not None
    assert promoted.release == now.release


def test_a_round_that_fails_does_not_end_the_schedule(
    archived: list[str], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = parser().parse_args(["retrain", "--every", "12h"])
    rounds, said, slept = [0], list[str](), list[float]()

    def one(*_: Any) -> None:
        rounds[0] += 1
        if rounds[0] == 2:
            raise SourceProblem("the archive is away")
        if rounds[0] == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(retrain, "_round", one)
    with pytest.raises(KeyboardInterrupt):
        retrain.run(given, settings, WORDED, said.append, slept.append)
    assert rounds == [4]
    assert any("the archive is away" in line for line in said)
    assert np.allclose(slept, 12 * 3600, atol=5)


def test_mistakes_end_in_one_line(archived: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*archived, "--judge", "150d"]) == 1
    assert "--judge 150d leaves nothing of --window 150d" in capsys.readouterr().err
