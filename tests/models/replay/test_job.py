"""The job from archived events to a release that an engine serves, by its command line, and its errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from models import engine, release
from models.featurizer import FeatureSpec
from models.replay.__main__ import main, offsets, parser
from models.replay.card import popular
from models.replay.scoring import score
from models.replay.source import SourceProblem
from schemas.settings import Settings
from tests.models.replay.shop import event, rows, sequences, write

INTERVAL = ["--from", "2017-01-01", "--train-until", "2017-04-01", "--to", "2017-06-01"]


@pytest.fixture
def shop(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An archive of 80 shoppers, and settings in the environment."""
    for name in ("archive_uri", "releases_uri", "app_id", "topic_prefix", "bootstrap_servers"):
        monkeypatch.setenv(f"INTENTFLOW_{name.upper()}", getattr(settings, name))
    write(Path(settings.archive_uri), rows(shoppers=80, days=150))
    return settings


def test_run_writes_a_release_with_its_metrics(shop: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *INTERVAL, "--fast", "--seed", "3"]) == 0, capsys.readouterr().err
    (folder,) = Path(shop.releases_uri).iterdir()
    card = release.read(str(folder)).card
    assert card.seed == 3
    assert (card.data_from[:10], card.data_until[:10]) == ("2017-01-01", "2017-04-01")
    assert {"buy_7d", "lapse_30d", "next_category"} <= card.metrics["evaluation"]["tasks"].keys()
    assert all(items[0].startswith("item-") for items in card.popular.values())
    assert json.loads((folder / "release.json").read_text())["git_revision"]
    out = capsys.readouterr().out
    assert "buys again within 7 days of a basket" in out
    assert f"intentflow models promote {folder.name}" in out
    _scores_offline_as_step_by_step(str(folder))
    assert main(["evaluate", *INTERVAL, "--release", folder.name]) == 0


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
