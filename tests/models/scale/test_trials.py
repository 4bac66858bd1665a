"""`replay search --ray` on two nodes: trials at once, on both, with the losses that they have on one machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.replay.__main__ import main
from models.scale import trials
from schemas.settings import Settings
from tests.models.replay.shop import SMALL, in_environment, rows, write

BASE = SMALL + "epochs: 2\n"
SPACE = "rate: {low: 1.0e-3, high: 1.0e-1, log: true}\nlanes: [4, 8]\n"


@pytest.fixture
def searched(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    in_environment(settings, monkeypatch)
    monkeypatch.setenv("INTENTFLOW_SEARCHES_DIR", str(tmp_path / "searches"))
    write(Path(settings.archive_uri), rows(shoppers=40, days=30))
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "space.yaml").write_text(SPACE)
    files = ["--space", str(tmp_path / "space.yaml"), "--recipe", str(tmp_path / "base.yaml")]
    how = ["--method", "random", "--pruner", "none", "--trials", "4", "--seed", "1"]
    return ["search", "--from", "2017-01-01", "--to", "2017-01-30", *files, *how]


@pytest.mark.timeout(300)
def test_trials_run_on_both_nodes_with_the_losses_of_one_machine(
    two_nodes: str,
    searched: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[trials.Trials] = []
    begin = trials.Trials.__init__

    def noted(self: trials.Trials, *arguments: object) -> None:
        begin(self, *arguments)  # type: ignore[arg-type]
        made.append(self)

    monkeypatch.setattr(trials.Trials, "__init__", noted)
    assert main([*searched, "--study", "there", "--ray", two_nodes]) == 0, capsys.readouterr().err
    there = capsys.readouterr().out
    assert main([*searched, "--study", "here"]) == 0
    here = capsys.readouterr().out
    assert "2 trials at once" in there
    assert len(made[0].nodes) == 2, "one node did it all"
    assert _lines(there) == _lines(here)
    assert len(_lines(here)) == 4


def _lines(said: str) -> list[str]:
    return sorted(
        line for line in said.splitlines() if line.startswith("  trial ") and "held-out loss" in line
    )
