"""The harness: which rows are measured, what becomes of those that cannot be, and the page of results."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from bench import report
from bench.models import __main__ as harness
from bench.models import page, row
from bench.models.row import NoData, Row
from bench.report import Bar

GIVEN = {
    "about": "Made up.",
    "published": {"theirs": {"auc": 0.7, "source": "a paper"}},
    "bars": {"AUC": ">= 0.75"},
}


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A harness of its own with the rows cdnow, taobao and jdata: set what `measure` of each does with rows[name]."""
    for name, path in (
        ("ROOT", ""),
        ("TRIALS", "trials"),
        ("RESULTS", "results"),
        ("PAGE", "performance.md"),
    ):
        monkeypatch.setattr(report, name, tmp_path / path)
    monkeypatch.setattr(page, "PAGE", tmp_path / "models.md")
    monkeypatch.setattr(page, "ROOT", tmp_path)
    monkeypatch.setattr(row, "HERE", tmp_path)
    monkeypatch.setattr(harness, "ROWS", ("cdnow", "taobao", "jdata"))
    monkeypatch.delenv("FAST", raising=False)
    measures = {}
    for name in harness.ROWS:
        module = ModuleType(f"bench.models.{name}")
        module.measure = lambda given, name=name: measures[name](given)
        monkeypatch.setitem(sys.modules, f"bench.models.{name}", module)
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(GIVEN))
        measures[name] = reaching(0.8)
    return measures


def reaching(auc):
    def measure(given):
        made = Row({"ours": {"auc": auc}}, notes=["A note."])
        made.want(given, "AUC", auc)
        return made

    return measure


def absent(given):
    raise NoData("/data/cdnow is not here")


def broken(given):
    raise RuntimeError("no such column: price\nand more")


def run(monkeypatch, only="", fast=""):
    monkeypatch.setenv("ONLY", only)
    monkeypatch.setenv("FAST", fast)
    return harness.main()


def results(folder="RESULTS"):
    return report.read(getattr(report, folder) / "models.json")


def test_an_unknown_row_is_refused_beside_those_that_there_are(rows, monkeypatch, capsys):
    assert run(monkeypatch, only="cdnow netflix") == 2
    assert "ONLY=netflix: no such row; want one of cdnow, taobao, jdata" in capsys.readouterr().err
    assert not (report.RESULTS / "models.json").exists()


def test_only_measures_the_row_and_leaves_the_others_as_they_were(rows, monkeypatch):
    assert run(monkeypatch) == 0
    rows["taobao"] = reaching(0.9)
    rows["jdata"] = broken
    assert run(monkeypatch, only="taobao") == 0
    found = results()
    assert [figures["models"]["ours"]["auc"] for figures in found.figures.values()] == [0.8, 0.9, 0.8]
    assert found.bars[1] == Bar("taobao: AUC", 0.9, ">= 0.75", True)
    assert [bar.name for bar in found.bars] == ["cdnow: AUC", "taobao: AUC", "jdata: AUC"]


def test_a_bar_that_does_not_hold_fails_the_run(rows, monkeypatch):
    rows["jdata"] = reaching(0.7)
    assert run(monkeypatch) == 1
    assert not results().bars[2].holds


def test_a_row_without_data_is_skipped_with_a_message(rows, monkeypatch, capsys):
    rows["cdnow"] = absent
    assert run(monkeypatch) == 0
    assert "cdnow: skipped, /data/cdnow is not here" in capsys.readouterr().out
    assert results().figures["cdnow"] == {"skipped": "/data/cdnow is not here"}


def test_figures_measured_where_the_data_was_outlive_a_run_without_it(rows, monkeypatch):
    run(monkeypatch)
    rows["cdnow"] = absent
    assert run(monkeypatch) == 0
    assert results().figures["cdnow"]["models"] == {"ours": {"auc": 0.8}}


def test_one_row_failing_leaves_the_others_and_fails_the_run(rows, monkeypatch):
    rows["taobao"] = broken
    assert run(monkeypatch) == 1
    found = results().figures
    assert found["taobao"] == {"error": "RuntimeError: no such column: price"}
    assert "models" in found["cdnow"]
    assert "models" in found["jdata"]


def test_what_was_measured_is_kept_when_the_run_is_ended(rows, monkeypatch):
    def ended(given):
        raise KeyboardInterrupt

    rows["taobao"] = ended
    with pytest.raises(KeyboardInterrupt):
        run(monkeypatch)
    assert list(results().figures) == ["cdnow"]


def test_a_short_run_leaves_the_results_alone(rows, monkeypatch):
    run(monkeypatch, fast="1")
    assert not (report.RESULTS / "models.json").exists()
    assert not page.PAGE.exists()
    assert results("TRIALS").command.startswith("a trial run of models")


def test_the_page_shows_published_and_ours_with_bars_and_notes(rows, monkeypatch):
    rows["jdata"], rows["taobao"] = reaching(0.7), absent
    run(monkeypatch)
    written = page.PAGE.read_text()
    assert written == page.page(results())
    for part in (
        "| theirs (a paper) | published | 0.7000 |",
        "| ours | ours | 0.8000 |",
        "`make bench-models ONLY=jdata`",
        "| AUC | 0.8 | >= 0.75 | yes |",
        "| AUC | 0.7 | >= 0.75 | **no** |",
        "- A note.",
        "Not measured: /data/cdnow is not here",
    ):
        assert part in written


def test_data_that_is_not_here_is_named_with_the_mend(tmp_path, monkeypatch):
    monkeypatch.setattr(row, "DATA", tmp_path)
    with pytest.raises(
        NoData, match=r"cdnow/x\.txt is not here: put the data there, or name its folder with INTENT"
    ):
        row.data("cdnow", "x.txt")


@pytest.mark.parametrize("name", [name for name in harness.ROWS if (row.HERE / f"{name}.yaml").exists()])
def test_every_parameter_file_has_its_row_bars_and_sources(name):
    given = row.parameters(name)
    assert callable(importlib.import_module(f"bench.models.{name}").measure)
    assert given["about"].strip()
    for bar in given["bars"].values():
        row.bar("any", 0.5, bar)
    for published in given.get("published", {}).values():
        assert published["source"]


def test_the_committed_page_is_that_of_the_committed_results():
    path = report.RESULTS / "models.json"
    if not path.exists():
        pytest.skip("bench/results/models.json is not there yet: run `make bench-models`")
    assert page.PAGE.read_text(encoding="utf-8") == page.page(report.read(path)), (
        "run python -m bench.models.page"
    )
