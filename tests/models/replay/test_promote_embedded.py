"""`replay run --promote`: the first release is promoted, another one only if it is better on the same interval, or by force."""

from __future__ import annotations

from pathlib import Path

import pytest

from models import promotion, release
from models.network import weights_of
from models.replay.__main__ import main
from schemas import topics
from schemas.settings import Settings
from tests.models.releases import untrained
from tests.models.replay.shop import rows, write
from tests.streams.site import environment

INTERVAL = ["--from", "2017-01-01", "--train-until", "2017-04-01", "--to", "2017-06-01"]


@pytest.mark.embedded
def test_a_release_is_promoted_when_it_is_the_first_or_better_or_forced(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    topics.create(settings)
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("INTENTFLOW_JUDGED_ROWS", "200")
    write(Path(settings.archive_uri), rows(shoppers=80, days=150))
    assert main(["run", *INTERVAL, "--fast", "--promote"]) == 0, capsys.readouterr().err
    first = promotion.promoted(settings)
    assert first is not None
    assert first.note == "first release"
    assert main(["run", *INTERVAL, "--fast", "--promote"]) == 1  # the same again is no better
    told = capsys.readouterr()
    assert "by the rule (offline, 2017-04-01" in told.err
    assert "release intent-" in told.out
    assert promotion.promoted(settings) == first
    assert main(["run", *INTERVAL, "--fast", "--promote", "--force", "a trial"]) == 0
    forced = promotion.promoted(settings)
    assert forced is not None
    assert (forced.previous, forced.note) == (first.release, "forced: a trial")
    of = first.open().card
    bad = release.write(settings.releases_uri, of, weights_of(untrained(of, 1)))
    promotion.promote(settings, bad, "random weights")
    assert main(["run", *INTERVAL, "--fast", "--promote"]) == 0, capsys.readouterr().err
    better = promotion.promoted(settings)
    assert better is not None
    assert better.note.startswith(f"better than {bad.id} offline: log loss of buy_7d -")
