"""challenge, compare, promote and watch against the demo's broker, over an archive of what two releases said."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from models import promotion, release
from models.network import weights_of
from models.release import Release
from models.replay.history import DAY_MS
from models.replay.rule import Bounds
from schemas.settings import Settings
from streams.cli import judging
from tests.models.releases import card, untrained, written
from tests.models.replay import said
from tests.models.replay.shop import START, rows, sequences, write
from tests.streams.cli.conftest import Run

pytestmark = pytest.mark.embedded
EVENTS = rows(shoppers=120, days=80)
SHOP = sequences(EVENTS)
BOUNDS = Bounds("buy_7d", 5000, auc_at_least=0.62, odds_at_least=0.4, odds_at_most=2.5)


@pytest.fixture
def archived(shop: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    write(Path(shop.archive_uri), EVENTS)
    monkeypatch.setenv("INTENTFLOW_JUDGED_ROWS", "100")
    return shop


def bounded(settings: Settings, seed: int) -> Release:
    of = card(metrics={"bounds": BOUNDS.to_json()}, data_until="2017-01-20T00:00:00+00:00")
    return release.write(settings.releases_uri, of, weights_of(untrained(of, seed)))


def says(
    settings: Settings, kind: str, of: Release, noise: float, eager: float = 1.0, number: int = 0
) -> None:
    """What the release said after every basket of the last 60 days."""
    at = np.flatnonzero(SHOP.last & (SHOP.events["time"] >= START + 20 * DAY_MS))
    curves = said.curves(SHOP, at, noise, number, eager)
    said.archive(Path(settings.archive_uri), kind, said.table(SHOP, of.id, curves, at), number)


def test_a_challenger_is_run_compared_and_promoted(run: Run, archived: Settings) -> None:
    first, second = (bounded(archived, seed) for seed in (1, 2))
    assert "before it none" in run("models", "promote", first.id).output
    assert "no challenger" in run("models", "compare", code=1).stderr
    run("models", "challenge", code=2)
    assert f"in shadow: {second.id}, beside {first.id}" in run("models", "challenge", second.id).output
    listed = run("models", "list").output
    assert re.search(rf"^in use +{first.id}", listed, re.MULTILINE)
    assert re.search(rf"^in shadow +{second.id}", listed, re.MULTILINE)
    assert f"shadow   {second.id}" in run("status", "--seconds", "0.1").output
    assert "said nothing within" in run("models", "compare", code=1).stderr
    says(archived, "predictions", first, 1.5)
    says(archived, "shadow_predictions", second, 0.1)
    told = run("models", "compare").output
    assert "may be promoted" in told
    assert told.count("holds: ") == 4
    found = json.loads(run("models", "compare", second.id, "--json").output)
    assert found["tasks"]["buy_7d"]["difference"]["log_loss"]["high"] < 0
    run("models", "promote", second.id, "--note", "spring")
    now = promotion.standing(archived)
    assert now.champion is not None
    assert (now.champion.release, now.challenger) == (second.id, None)
    assert now.champion.note.startswith(f"spring; better than {first.id} in shadow: log loss of buy_7d -")
    assert "is in use already" in run("models", "promote", second.id).output


def test_one_that_is_not_better_is_refused_unless_forced(run: Run, archived: Settings) -> None:
    first, second = (bounded(archived, seed) for seed in (1, 2))
    run("models", "promote", first.id)
    run("models", "challenge", second.id)
    says(archived, "predictions", first, 0.1)
    says(archived, "shadow_predictions", second, 1.5)
    refused = run("models", "promote", second.id, code=1).stderr
    assert "FAILS: log loss differs by +" in refused
    assert "--force WHY" in refused
    assert promotion.promoted(archived).release == first.id  # type: ignore[union-attr]
    assert "no longer in shadow" in run("models", "challenge", "--stop").output
    assert "nobody was in shadow" in run("models", "challenge", "--stop").output
    run("models", "promote", second.id, "--force", "a trial")
    assert promotion.promoted(archived).note == "forced: a trial"  # type: ignore[union-attr]
    assert "--offline" not in run("models", "compare", first.id, "--offline").output


@pytest.mark.parametrize(
    ("noise", "eager", "why"), [(6.0, 1.0, "AUC"), (0.1, 0.1, "odds observed over expected")]
)
def test_a_release_that_breaks_its_bounds_live_is_taken_back_once(
    noise: float, eager: float, why: str, run: Run, archived: Settings
) -> None:
    first, second = (bounded(archived, seed) for seed in (1, 2))
    run("models", "promote", first.id)
    says(archived, "predictions", first, 0.1)
    assert "keeps its bounds" in run("models", "watch", "--once").output
    run("models", "promote", second.id, "--force", "a trial")
    assert "no row of buy_7d has matured" in run("models", "watch", "--once").output
    says(archived, "predictions", second, noise, eager, number=1)
    assert "OUT OF ITS BOUNDS" in run("models", "watch", "--once", "--dry-run").output
    assert promotion.promoted(archived).release == second.id  # type: ignore[union-attr]
    taken = run("models", "watch", "--once", code=3).output
    assert f"FAILS: {why}" in taken
    assert f"taken back: workers use {first.id} again" in taken
    assert "keeps its bounds" in run("models", "watch", "--once").output
    listed = run("models", "list").output
    assert re.search(rf"^withdrawn +{second.id}", listed, re.MULTILINE)
    assert "rolled back automatically" in listed
    assert "was withdrawn" in run("models", "promote", second.id, code=1).stderr
    assert "was withdrawn" in run("models", "rollback", code=1).stderr


def test_two_bad_releases_do_not_take_turns(run: Run, archived: Settings) -> None:
    first, second = (bounded(archived, seed) for seed in (1, 2))
    run("models", "promote", first.id)
    run("models", "promote", second.id, "--force", "a trial")
    for number, one in enumerate((first, second)):
        says(archived, "predictions", one, 6.0, number=number)
    run("models", "watch", "--once", code=3)
    for _ in range(2):
        told = run("models", "watch", "--once", code=1).stderr
        assert "was withdrawn" in told
        assert "OUT OF ITS BOUNDS" in told
        assert promotion.promoted(archived).release == first.id  # type: ignore[union-attr]


def test_a_release_without_bounds_is_not_watched_and_few_rows_prove_nothing(
    run: Run, archived: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("models", "promote", written(archived.releases_uri, 7).id)
    assert "has no bounds in its card" in run("models", "watch", "--once").output
    bad = bounded(archived, 2)
    run("models", "promote", bad.id, "--force", "a trial")
    says(archived, "predictions", bad, 6.0)
    monkeypatch.setenv("INTENTFLOW_JUDGED_ROWS", "100000")
    assert "cannot be judged yet" in run("models", "watch", "--once").output


def test_the_loop_goes_on_after_a_look_that_failed_until_it_is_stopped(
    run: Run, archived: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (bounded(archived, seed) for seed in (1, 2))
    run("models", "promote", first.id)
    run("models", "promote", second.id, "--force", "a trial")
    says(archived, "predictions", second, 6.0)
    folder, waits = Path(archived.archive_uri), []
    away = folder.rename(folder.with_name("away"))

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 1:
            away.rename(folder)
        elif len(waits) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(judging.time, "sleep", wait)
    monkeypatch.setenv("INTENTFLOW_WATCH_INTERVAL_S", "7")
    told = run("models", "watch", code=130)
    assert waits == [7.0] * 3
    assert "no events in it" in told.stderr
    assert told.output.count("taken back") == 1
    assert promotion.promoted(archived).release == first.id  # type: ignore[union-attr]
