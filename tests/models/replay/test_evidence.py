"""Evidence for a promotion: from a shadow run in the archive, else offline; and what is said where there is none."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from models.promotion import Promotion, Standing
from models.release import Release
from models.replay import evidence
from models.replay.evidence import PREDICTIONS, SHADOW, Live, NotBetter, in_shadow, permit
from models.replay.history import DAY_MS
from models.replay.source import Interval, SourceProblem
from schemas.settings import Settings
from tests.models.releases import written
from tests.models.replay import said
from tests.models.replay.shop import START, rows, sequences, write

DAYS = 80
EVENTS = rows(shoppers=80, days=DAYS)
SHOP = sequences(EVENTS)
EARLY = "2017-01-20T00:00:00+00:00"


def record(of: Release, previous: str | None = None, note: str = "") -> Promotion:
    return Promotion(of.card.model, of.id, of.uri, of.weights_sha256, "", 1, previous, note)


@pytest.fixture
def shop(settings: Settings) -> Settings:
    write(Path(settings.archive_uri), EVENTS)
    return settings.model_copy(update={"judged_rows": 100})


@pytest.fixture
def pair(shop: Settings) -> tuple[Release, Release]:
    first, second = (written(shop.releases_uri, seed, data_until=EARLY) for seed in (1, 2))
    return first, second


def shadow_run(
    shop: Settings, pair: tuple[Release, Release], noise: tuple[float, float], last: int = DAYS
) -> None:
    """Both releases say something after every basket of the last 60 days, up to day `last`."""
    times = SHOP.events["time"]
    at = np.flatnonzero(SHOP.last & (times >= START + 20 * DAY_MS) & (times < START + last * DAY_MS))
    for number, (release, kind) in enumerate(zip(pair, (PREDICTIONS, SHADOW), strict=True)):
        curves = said.curves(SHOP, at, noise[number], seed=number)
        said.archive(Path(shop.archive_uri), kind, said.table(SHOP, release.id, curves, at))


def test_a_better_challenger_is_permitted_with_its_figures(
    shop: Settings, pair: tuple[Release, Release]
) -> None:
    shadow_run(shop, pair, (1.5, 0.1))
    found = in_shadow(Live(shop), pair[0].id, pair[1].id)
    assert found is not None
    one = found.found["buy_7d"]
    assert one.challenger.auc.value > one.champion.auc.value
    assert found.over.stop == int(SHOP.events["time"].max()) + 1
    assert {"buy_3d", "buy_7d", "buy_30d", "lapse_30d"} == found.to_json()["tasks"].keys()
    note = permit(shop, pair[1], Standing(record(pair[0])))
    assert note.startswith(f"better than {pair[0].id} in shadow: log loss of buy_7d -")


def test_a_worse_one_is_refused_with_the_figures_and_what_to_do(
    shop: Settings, pair: tuple[Release, Release]
) -> None:
    shadow_run(shop, pair, (0.1, 1.5))
    with pytest.raises(NotBetter, match=r"FAILS: log loss differs by \+.*\n.*\n.*\n.*--force WHY") as refusal:
        permit(shop, pair[1], Standing(record(pair[0])))
    assert f"{pair[1].id} is not better than {pair[0].id} by the rule (in shadow" in str(refusal.value)


def test_a_shadow_run_that_is_too_short_gives_way_to_the_archive(
    shop: Settings, pair: tuple[Release, Release]
) -> None:
    """The challenger was lucky for three days; offline, two untrained releases are alike."""
    shadow_run(shop, pair, (1.5, 0.1), last=23)
    with pytest.raises(NotBetter, match=r"by the rule \(offline"):
        permit(shop, pair[1], Standing(record(pair[0])))


def test_without_a_shadow_run_the_archive_decides_on_the_time_after_both_had_learnt(
    shop: Settings, pair: tuple[Release, Release]
) -> None:
    found = evidence.offline(shop, *pair)
    assert found.how == "offline"
    assert datetime.fromtimestamp(found.over.start / 1000, UTC).isoformat() == EARLY
    again = evidence.offline(shop, *pair, SHOP)
    assert again.found["buy_7d"].rows == found.found["buy_7d"].rows
    late = written(shop.releases_uri, 3, data_until="2017-06-01T00:00:00+00:00")
    with pytest.raises(SourceProblem, match="nothing after it"):
        evidence.offline(shop, pair[0], late, SHOP)
    with pytest.raises(NotBetter, match="run it in shadow with `intentflow models challenge"):
        permit(shop, late, Standing(record(pair[0])))


def test_no_archive_at_all_says_what_to_do(settings: Settings, tmp_path: Path) -> None:
    first, second = (written(tmp_path, seed) for seed in (1, 2))
    with pytest.raises(NotBetter, match="no events in it; archive them with `intentflow archive`"):
        permit(settings, second, Standing(record(first)))


def test_the_first_release_needs_no_evidence_and_a_withdrawn_one_needs_force(
    settings: Settings, tmp_path: Path
) -> None:
    first, second = (written(tmp_path, seed) for seed in (1, 2))
    assert permit(settings, first, Standing()) == "first release"
    gone = Standing(record(first), withdrawn={second.id: record(second, note="FAILS: AUC 0.5")})
    with pytest.raises(NotBetter, match=r"was withdrawn \(FAILS: AUC 0.5\).*only with --force"):
        permit(settings, second, gone)


def test_a_release_that_said_nothing_is_no_evidence(shop: Settings, pair: tuple[Release, Release]) -> None:
    assert in_shadow(Live(shop), pair[0].id, pair[1].id) is None
    shadow_run(shop, pair, (0.1, 0.1))
    live = Live(shop)
    assert in_shadow(live, pair[0].id, "intent-of-nobody") is None
    assert len(live.said(SHADOW, pair[1].id) or ()) > 0
    cut = Live(shop, over=Interval(START + 30 * DAY_MS, START + 60 * DAY_MS))
    found = in_shadow(cut, pair[0].id, pair[1].id)
    assert found is not None
    assert 0 < found.found["buy_7d"].rows < len(SHOP.purchases)
