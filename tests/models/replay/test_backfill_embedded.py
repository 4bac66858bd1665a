"""A backfill writes the live path's predictions, with their ids, into a topic of its own, and only there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.replay.__main__ import main
from models.replay.source import iso
from schemas.codec import Codec
from schemas.registry import open_registry
from schemas.settings import Settings
from streams.archive import Archive
from tests.streams.live import START, event
from tests.streams.site import Site, environment, worker


@pytest.mark.embedded
def test_a_backfill_repeats_what_live_predicted_and_emits_nothing(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site(settings)
    rows = [event(at % 7, at) for at in range(140)]
    site.send(rows)
    with worker(settings, tmp_path) as running:
        site.wait(lambda: len(site.read("prediction")) == 140, "140 predictions")
        assert running.stop() == 0, running.log
    live = {row["prediction_id"]: row for row in site.read("prediction")}
    Archive(settings).run(until_end=True)
    for name, value in environment(settings).items():
        if name.startswith("INTENTFLOW_"):
            monkeypatch.setenv(name, value)
    half = START + 70 * 60_000
    interval = ["--from", iso(half), "--to", iso(START + 86_400_000), "--state-from", iso(START)]
    assert main(["backfill", *interval, "--id", "again"]) == 0, capsys.readouterr().err
    topic = f"{site.topics.predictions}-backfill-again"
    values = [value for _, value in site.read_raw(topic)]
    again = Codec(open_registry(settings), "prediction").decode_rows(values)
    assert len(again) == 70
    for row in again:
        same = live[row["prediction_id"]]
        assert (row["event_id"], row["user_id"], row["release"]) == (
            same["event_id"],
            same["user_id"],
            same["release"],
        )
        np.testing.assert_allclose(row["survival"], same["survival"], atol=1e-5)
    assert len(site.read("prediction")) == 140
    assert site.read("intervention") == []
    assert main(["backfill", *interval, "--id", "again"]) == 1
    assert "another --id" in capsys.readouterr().err
