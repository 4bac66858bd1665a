"""`intentflow effect` from what Kafka retains: the same figures as from the archive, and those that are true."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from models.replay.source import iso
from schemas.settings import Settings
from streams.archive import Archive
from streams.cli import app
from streams.outcomes import run
from tests.streams.archiving import T0
from tests.streams.outcome_site import HOUR, decided, did, shop, write
from tests.streams.site import environment

pytestmark = pytest.mark.embedded
SHOPPERS = 80


def told(folder: Path, *more: str) -> dict[str, Any]:
    interval = ["--from", iso(T0 - HOUR), "--to", iso(T0 + 2 * HOUR)]
    done = CliRunner().invoke(
        app, ["effect", *interval, "--margin-share", "0.5", "--out", str(folder), *more]
    )
    assert done.exit_code == 0, done.output
    assert "margin per shopper" in done.output
    assert (folder / "effect.html").stat().st_size > 0
    found: dict[str, Any] = json.loads((folder / "effect.json").read_text())
    return found


def test_effect_reads_retained_topics_as_it_reads_the_archive(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every second shopper is held out; of the treated all buy for 20, of the others every second one."""
    site = shop(settings)
    held = {"reason": "holdout", "outcome": "held_back", "intervention_id": None, "coupon_value": 0.0}
    write(
        site.settings,
        "decision",
        [
            decided(number, number, 0, propensity=0.5, **(held if number % 2 else {}))
            for number in range(SHOPPERS)
        ],
    )
    buying = [number for number in range(SHOPPERS) if number % 4 != 1]
    late = [did(1000 + number, number, 60, "page_view") for number in range(SHOPPERS)]
    write(
        site.settings,
        "behavior_event",
        [*(did(number, number, 1, "purchase", price=20.0) for number in buying), *late],
    )
    run(site.settings, until_end=True, close=True)
    for name, value in environment(site.settings).items():
        monkeypatch.setenv(name, value)
    retained = told(tmp_path / "topics", "--topics")
    Archive(site.settings).run(until_end=True)
    assert told(tmp_path / "archive") == retained
    found = retained["comparisons"]["overall"]
    assert found["shoppers"] == {"treated": 40, "held out": 40}
    assert not found["sample_ratio"]["alarm"]
    assert (found["metrics"]["revenue"]["treated"], found["metrics"]["revenue"]["control"]) == (20.0, 10.0)
    assert found["metrics"]["margin"]["total"] == 0.5 * 10 * 40
    assert retained["reasons"] == {"c": {"emitted": 40, "holdout": 40}}
