"""`replay run --ray` on two nodes: both build and train, and the release is as good as that of one machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models import release
from models.replay.__main__ import main
from schemas.settings import Settings
from tests.models.replay.shop import SMALL, in_environment, rows, write

RECIPE = SMALL + "epochs: 15\nrate: 0.005\naverage: 0.9\n"
INTERVAL = ["--from", "2017-01-01", "--train-until", "2017-02-20", "--to", "2017-03-10"]


@pytest.fixture
def shop(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Arguments of a run in two shards over an archive of 120 shoppers."""
    in_environment(settings, monkeypatch)
    write(Path(settings.archive_uri), rows(shoppers=120, days=70))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return ["run", *INTERVAL, "--recipe", str(tmp_path / "recipe.yaml"), "--seed", "3", "--memory-mib", "2.5"]


def metrics(folder: Path, arguments: list[str]) -> dict[str, Any]:
    before = set(folder.glob("*"))
    assert main(arguments) == 0
    (new,) = set(folder.glob("*")) - before
    return dict(release.read(str(new)).card.metrics)


@pytest.mark.timeout(300)
def test_two_nodes_train_a_release_as_good_as_that_of_one(
    two_nodes: str, shop: list[str], settings: Settings
) -> None:
    folder = Path(settings.releases_uri)
    both = metrics(folder, [*shop, "--ray", two_nodes])
    alone = metrics(folder, shop)
    assert both["scale"]["shards"] == alone["scale"]["shards"] == 2
    assert len(both["scale"]["built_by"]) == 2
    assert len(set(both["scale"]["trained_by"])) == 2
    assert not list(Path(f"{settings.archive_uri}-shards").iterdir())
    # Judged on the same shoppers; what was learnt differs by who was held out and in which order they came.
    for task in ("buy_3d", "buy_7d"):
        ours, theirs = (one["evaluation"]["tasks"][task]["model"] for one in (both, alone))
        assert ours["rows"] == theirs["rows"]
        assert ours["auc"] == pytest.approx(theirs["auc"], abs=0.03)
        assert ours["log_loss"] == pytest.approx(theirs["log_loss"], rel=0.05)


def test_what_needs_all_events_in_memory_is_refused(
    shop: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*shop, "--ray", "127.0.0.1:1", "--topics"]) == 1
    assert "leave out --topics or --ray" in capsys.readouterr().err
    assert main([*shop, "--ray-workers", "2"]) == 1
    assert "together with --ray ADDRESS" in capsys.readouterr().err
    assert main([*shop, "--ray", "127.0.0.1:1"]) == 1
    assert "no Ray cluster answers there" in capsys.readouterr().err
