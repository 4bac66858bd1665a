"""`replay drift` by its command line: from an archive and a release's reference to table, record and metrics."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.featurizer import DENSE, ID_COLUMNS
from models.replay.__main__ import main
from models.replay.aggregates import COLUMNS
from schemas import topics
from schemas.settings import Settings
from streams.cli.contents import Contents
from streams.cli.log import Log
from tests.models.releases import written
from tests.models.replay.shop import in_environment, rows, write
from tests.models.replay.test_search import BASE

pytestmark = pytest.mark.embedded
TRAIN = ["--from", "2017-01-01", "--train-until", "2017-03-01", "--to", "2017-04-01"]
LATER = ["--from", "2017-03-01", "--to", "2017-05-01", "--state-from", "2017-01-01"]


@pytest.fixture
def trained(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Id of a release that was trained on the archive of 60 shoppers."""
    in_environment(settings, monkeypatch)
    write(Path(settings.archive_uri), rows(shoppers=60, days=130))
    (tmp_path / "base.yaml").write_text(BASE)
    assert main(["train", *TRAIN, "--recipe", str(tmp_path / "base.yaml")]) == 0
    (folder,) = Path(settings.releases_uri).iterdir()
    return folder.name


def test_a_release_is_measured_printed_and_published(
    trained: str, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    topics.create(settings)
    metrics = tmp_path / "intentflow.prom"
    assert main(["drift", *LATER, "--release", trained, "--metrics", str(metrics)]) == 0, (
        capsys.readouterr().err
    )
    out = capsys.readouterr().out
    for said in ("Siddiqi 2006", "log_since_purchase", "buy_7d", "expected", "columns"):
        assert said in out
    assert f'intentflow_drift_verdict{{release="{trained}"}}' in metrics.read_text()
    with Log(settings) as log:
        contents = Contents(settings, "model-drift")
        (content,) = contents.decode(list(log.newest(contents.topic, 0, trained.encode())))
    assert content.row is not None
    assert content.row["release"] == trained
    assert len(content.row["columns"]) == 20 + 4 + 3
    assert {one["task"] for one in content.row["calibration"]} == {"buy_3d", "buy_7d", "buy_30d", "lapse_30d"}


def test_a_release_without_reference_says_what_to_do(
    trained: str, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    old = written(settings.releases_uri)
    assert main(["drift", *LATER, "--release", old.id, "--dry-run"]) == 1
    assert "no reference.json, it was trained before drift was measured" in capsys.readouterr().err


def test_the_inputs_that_a_release_rests_on_are_printed_and_written(
    trained: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "importance.json"
    explain = ["explain", *LATER, "--release", trained, "--shoppers", "20", "--repeats", "2"]
    assert main([*explain, "--json", str(file)]) == 0, capsys.readouterr().err
    found = json.loads(file.read_text())
    assert {one["name"] for one in found} == {*ID_COLUMNS, *DENSE}
    assert found == sorted(found, key=lambda one: -one["worse"])
    assert found[0]["worse"] > 0
    assert "rise of the log loss when an input is shuffled" in capsys.readouterr().out
    assert main([*explain, "--task", "click"]) == 1
    assert "--task click" in capsys.readouterr().err


def test_a_report_shows_what_a_score_rests_on(
    trained: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate = ["evaluate", *TRAIN, "--release", trained, "--report", str(tmp_path)]
    assert main([*evaluate, "--explain", "buy_7d"]) == 0, capsys.readouterr().err
    found = json.loads((tmp_path / "report.json").read_text())["explained"]
    assert {one["name"] for one in found["inputs"]} == {*ID_COLUMNS, *DENSE}
    assert set(found["trees"]) == {one["name"] for one in found["columns"]} == set(COLUMNS)
    shopper = found["shopper"]
    assert len(shopper["moved"]) == len(shopper["events"]) > 0
    assert sum(shopper["moved"]) == pytest.approx(shopper["score"] - shopper["baseline"], abs=2e-3)
    page = (tmp_path / "report.html").read_text()
    for picture in ("Release: inputs shuffled", "LightGBM: TreeSHAP", "Events, newest first"):
        assert f'aria-label="{picture}"' in page
    assert main([*evaluate, "--explain", "click"]) == 1
    assert f"--explain click: of {trained} can be explained buy_3d" in capsys.readouterr().err
