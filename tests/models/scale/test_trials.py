"""`replay search --ray` on two nodes: trials at once, on both, with the losses that they have on one machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.replay.__main__ import main
from models.scale import trials
from schemas.settings import Settings
from tests.models.replay.shop import rows, write

BASE = """
epochs: 2
lanes: 8
rounds: 16
categories: 12
architecture: {sizes: [8, 8], head: 8, memory: 8, item: 2, category: 2, type: 2, device: 2}
features: {item_buckets: 16, category_buckets: 64}
"""
SPACE = "rate: {low: 1.0e-3, high: 1.0e-1, log: true}\nlanes: [4, 8]\n"


@pytest.fixture
def searched(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    for name in ("archive_uri", "releases_uri", "app_id", "topic_prefix", "bootstrap_servers"):
        monkeypatch.setenv(f"INTENTFLOW_{name.upper()}", getattr(settings, name))
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
