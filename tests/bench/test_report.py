"""The form of results: what a measurement writes, prints and returns."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from bench import page, report
from bench.report import Bar, Report, at_least, at_most, read


@pytest.fixture
def made() -> Report:
    return Report(
        "pipeline",
        "make bench-pipeline",
        "abc123",
        "2026-01-01T00:00:00+00:00",
        {"cpu": "a processor", "cores": 2},
        {"python": "3.11"},
        {"worker": {"events_per_s": 41234.0}, "note": "random weights"},
        (at_least("ratio", 21.5, 20), at_most("memory, MiB", 1200, 900)),
    )


def test_a_bar_holds_at_its_limit_and_says_its_direction():
    assert at_least("ratio", 20.0, 20) == Bar("ratio", 20.0, ">= 20", True)
    assert not at_least("ratio", 19.9, 20).holds
    assert at_most("memory", 900, 900) == Bar("memory", 900, "<= 900", True)
    assert not at_most("memory", 901, 900).holds


def test_a_written_report_has_the_agreed_keys_and_reads_back(made: Report, tmp_path: Path):
    path = made.write(tmp_path)
    found = json.loads(path.read_text())
    assert path.name == "pipeline.json"
    assert {"name", "command", "commit", "hardware", "versions", "figures", "bars"} <= found.keys()
    assert found["bars"][0] == {"name": "ratio", "value": 21.5, "bar": ">= 20", "holds": True}
    assert read(path) == made


def test_the_exit_status_is_1_when_a_bar_does_not_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, path in (("ROOT", ""), ("TRIALS", "trials"), ("RESULTS", "results"), ("PAGE", "page.md")):
        monkeypatch.setattr(report, name, tmp_path / path)
    figures = {"events_per_s": 41234.5678, "each": {"us": 1.23456}}
    assert report.finish("x", figures, [at_least("ratio", 21, 20)], {"kafka": "4"}, trial=False) == 0
    assert report.finish("x", figures, [at_least("ratio", 19, 20)], {"kafka": "4"}, trial=True) == 1
    found = read(tmp_path / "results" / "x.json")
    assert found.figures == {"events_per_s": 41235, "each": {"us": 1.235}}
    assert found.command == "make bench-x"
    assert read(tmp_path / "trials" / "x.json").command.startswith("a trial run of x")
    assert found.versions["kafka"] == "4"


def test_a_file_that_is_no_report_is_named(tmp_path: Path):
    (tmp_path / "memory.json").write_text("{}")
    with pytest.raises(ValueError, match=r"memory\.json is no report.*make bench-memory"):
        read(tmp_path / "memory.json")


def test_the_tables_show_every_figure_and_bar(made: Report):
    console = Console(record=True, width=140)
    report.show(made, console)
    shown = console.export_text()
    for part in ("worker.events_per_s", "41,234", "random weights", "ratio", ">= 20", "NO", "cores 2"):
        assert part in shown


def test_the_page_holds_every_figure_and_bar(made: Report):
    written = page.page([made])
    for part in (
        "## pipeline",
        "| worker.events_per_s | 41,234 |",
        "| ratio | 21.5 | >= 20 | yes |",
        "**no**",
    ):
        assert part in written


def test_the_page_is_that_of_the_committed_results():
    results = page.reports()
    if not results:
        pytest.skip("bench/results/ holds no results yet: run `make bench`")
    assert report.PAGE.read_text(encoding="utf-8") == page.page(results), "run `make bench-page`"
    for result in results:
        assert result.bars, f"{result.name} has no bar"
