"""The search by its command line on an archive: killed by kill -9 it goes on where it was; its recipe trains a release."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from models import release
from models.replay.__main__ import main
from schemas.settings import Settings
from tests.models.replay.shop import SMALL, in_environment, rows, write
from tests.models.replay.test_imports import ROOT

BASE = SMALL + "epochs: 2\n"
SPACE = "rate: {low: 1.0e-3, high: 1.0e-1, log: true}\narchitecture: {sizes: [[8, 8], [12]]}\n"
INTERVAL = ["--from", "2017-01-01", "--to", "2017-02-10"]


@pytest.fixture
def searched(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The command's arguments but for how long, over an archive of 40 shoppers."""
    in_environment(settings, monkeypatch)
    monkeypatch.setenv("INTENTFLOW_SEARCHES_DIR", str(tmp_path / "searches"))
    write(Path(settings.archive_uri), rows(shoppers=40, days=60))
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "space.yaml").write_text(SPACE)
    files = ["--space", str(tmp_path / "space.yaml"), "--recipe", str(tmp_path / "base.yaml")]
    return ["search", *INTERVAL, *files, "--study", "first", "--seed", "1"]


def _killed_in_the_third_trial(arguments: list[str]) -> list[str]:
    """Lines of the trials that it had finished."""
    command = [sys.executable, "-u", "-m", "models.replay", *arguments]
    finished: list[str] = []
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            finished += [line] if line.startswith("  trial ") else []
            if len(finished) == 2:
                time.sleep(0.15)  # into the trial that follows
                process.send_signal(signal.SIGKILL)
                break
        finished += [line for line in process.stdout if line.startswith("  trial ")]
    assert process.returncode == -signal.SIGKILL
    return finished


def test_a_search_that_was_killed_goes_on_and_its_recipe_trains_a_release(
    searched: list[str], settings: Settings, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    before = _killed_in_the_third_trial([*searched, "--trials", "100"])
    count = len(before)
    assert main([*searched, "--trials", str(count + 2)]) == 0, capsys.readouterr().err
    out = capsys.readouterr().out
    assert f"trial {count} was cut off: back to the queue" in out
    after = [line for line in out.splitlines() if line.startswith("  trial ") and "held-out loss" in line]
    assert len(after) == 2, "the trials done before the kill are not done again"
    assert f"{count + 2} trials" in out

    recipe = tmp_path / "searches" / "first" / "best.yaml"
    train = ["train", *INTERVAL, "--train-until", "2017-02-01", "--recipe", str(recipe)]
    assert main(train) == 0, capsys.readouterr().err
    (folder,) = Path(settings.releases_uri).iterdir()
    assert release.read(str(folder)).card.architecture.sizes in ((8, 8), (12,))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--study", "../up"], "--study is '../up'"),
        (["--trials", "0"], "--trials and --minutes must be above 0"),
        (["--space", "nowhere.yaml"], "nowhere.yaml"),
        (["--recipe", "nowhere.yaml"], "nowhere.yaml"),
        (["--method", "grid"], "rate: a grid needs a `step`"),
    ],
)
def test_mistakes_end_in_one_line(
    searched: list[str], capsys: pytest.CaptureFixture[str], change: list[str], said: str
) -> None:
    assert main([*searched, *change]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
