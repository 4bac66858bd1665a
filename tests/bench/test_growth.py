"""Rows of the growth benchmark stand for themselves: one that fails costs no other its figures or its bar."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from bench import growth, growth_bars, report

OPTIONS = Namespace(shoppers=[10**4, 10**6, 10**7], partitions=[1, 64], workers=[1, 4])


def _point(cpu_us: float, peak: float = 100.0) -> dict[str, float]:
    return {"cpu_us_per_event": cpu_us, "memory_peak_mib": peak, "memory_bound_mib": 200.0}


def test_a_row_that_fails_leaves_the_others():
    def shoppers() -> dict[str, Any]:
        raise OSError("no space left\nand more")

    def partitions() -> dict[str, Any]:
        return {"partitions": {"1": _point(10.0), "64": _point(12.0, 150.0)}}

    figures, errors = growth.each(shoppers, partitions)
    assert errors == {"shoppers": "OSError: no space left"}
    bars = {bar.name: bar.value for bar in growth_bars.bars(figures, OPTIONS)}
    assert bars == {
        "CPU per event, 64 partitions over 1": 1.2,
        "memory over its bound, worst of all": 0.75,
    }


def test_shoppers_on_disk_are_held_against_shoppers_on_disk():
    points = {"10,000": _point(10.0), "1,000,000": _point(40.0), "10,000,000": _point(50.0)}
    found = growth_bars.bars({"shoppers": points}, OPTIONS)[0]
    assert found.name == "CPU per event, 10,000,000 shoppers over 1,000,000"
    assert found.value == 1.25
    assert found.holds


def test_rows_that_are_not_measured_again_are_kept_and_say_when_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    figures = {"partitions": {"1": _point(10.0)}, "errors": {"workers": "too small", "shoppers": "no space"}}
    report.Report("growth", "make bench-growth", "a" * 40, "2026-01-01", {}, {}, figures, ()).write(tmp_path)
    before, failed, when = growth.kept(["workers"])
    assert before == {"partitions": figures["partitions"]}
    assert when == f"measured at 2026-01-01 at commit {'a' * 12}"
    assert growth_bars.bars(before, Namespace(**{**vars(OPTIONS), "partitions": [1, 1]}))
    assert failed == {"shoppers": "no space"}
