"""Retained topics as a source: between two times, or exactly between offsets, the same events as were sent."""

from __future__ import annotations

import pytest

from models.replay.__main__ import main
from models.replay.source import iso
from schemas.settings import Settings
from tests.streams.live import START, event
from tests.streams.site import Site, environment


@pytest.mark.embedded
def test_the_training_set_is_built_from_what_kafka_retains(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site(settings)
    site.send([event(at % 7, at) for at in range(140)])
    for name, value in environment(settings).items():
        if name.startswith("INTENTFLOW_"):
            monkeypatch.setenv(name, value)
    half = START + 70 * 60_000
    for stop, count in ((START + 86_400_000, 140), (half, 70)):
        assert main(["build", "--from", iso(START), "--to", iso(stop), "--topics"]) == 0
        assert f"{count} events of 7 shoppers" in capsys.readouterr().out
    assert main(["build", "--from", "2011-01-01", "--to", "2011-01-02", "--topics"]) == 1
    assert "intentflow replay:" in capsys.readouterr().err
