"""A real worker with a challenger on the demo's broker; a client that knows nothing of us reads shadow-predictions."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pyarrow as pa
import pytest

from models import promotion
from models.predictions import prediction_ids
from models.release import WEIGHTS_FILE
from models.replay.evidence import PREDICTIONS, SHADOW, Live
from schemas.settings import Settings
from tests.models.releases import card, written
from tests.streams.live import event
from tests.streams.site import Site, Worker, worker

SCHEMA = fastavro.parse_schema(
    json.loads((Path(__file__).parents[2] / "schemas" / "prediction.avsc").read_text())
)
USERS = 9
pytestmark = pytest.mark.embedded


def foreign(site: Site, topic: str) -> list[dict[str, Any]]:
    """What librdkafka and fastavro make of a topic, with the schema file alone."""
    found = []
    for key, value in site.read_raw(topic):
        assert key is not None
        assert value is not None
        row = fastavro.schemaless_reader(io.BytesIO(value[5:]), SCHEMA, SCHEMA)
        assert isinstance(row, dict)
        assert row["user_id"] == key.decode()
        found.append(row)
    return found


def page(running: Worker) -> dict[str, Any]:
    text = running.page()
    return dict(json.loads(text)) if text else {}


def metric(running: Worker, name: str) -> float:
    lines = [line for line in running.page("/metrics").splitlines() if line.startswith(name + " ")]
    return float(lines[0].split()[1]) if lines else 0.0


def send(site: Site, first: int, count: int) -> list[str]:
    rows = [event(at % USERS, at) for at in range(first, first + count)]
    site.send(rows)
    return [row["event_id"] for row in rows]


def test_a_challenger_is_scored_beside_the_champion_promoted_and_survives_a_restart(
    settings: Settings, tmp_path: Path
) -> None:
    site = Site(settings)
    names, second = site.topics, written(settings.releases_uri, seed=3)
    with worker(settings, tmp_path) as running:
        site.wait(lambda: page(running).get("release") == site.release.id, "the champion")
        before = send(site, 0, 90)
        site.wait(lambda: len(site.read("prediction")) == 90, "predictions without a challenger")
        assert site.read_raw(names.shadow_predictions) == []
        promotion.challenge(settings, second)
        site.wait(
            lambda: (page(running).get("challenger") or {}).get("release") == second.id, "the challenger"
        )
        beside = send(site, 90, 180)
        site.wait(lambda: len(foreign(site, names.shadow_predictions)) == 180, "shadow predictions")
        assert metric(running, "intentflow_shadow_predictions_total") == 180
        assert f'intentflow_challenger_info{{release="{second.id}"}} 1.0' in running.page("/metrics")
        assert 'intentflow_stage_seconds_total{stage="shadow_step"}' in running.page("/metrics")
        assert running.stop() == 0
    with worker(settings, tmp_path) as running:  # the challenger again, from the topic
        beside += send(site, 270, 90)
        site.wait(
            lambda: len(foreign(site, names.shadow_predictions)) == 270, "shadow predictions after a restart"
        )
        promotion.promote(settings, second)
        site.wait(lambda: page(running).get("release") == second.id, "the promoted challenger")
        assert page(running)["challenger"] is None
        after = send(site, 360, 90)
        site.wait(lambda: len(site.read("prediction")) == 450, "predictions of the new champion")
        assert running.stop() == 0
    theirs, ours = foreign(site, names.shadow_predictions), site.read("prediction")
    assert sorted(row["event_id"] for row in theirs) == sorted(beside)
    assert sorted(row["event_id"] for row in ours) == sorted(before + beside + after)
    assert {row["release"] for row in theirs} == {second.id}
    by_event = {row["event_id"]: row for row in ours}
    assert {by_event[name]["release"] for name in beside} == {site.release.id}
    assert {by_event[name]["release"] for name in after} == {second.id}
    expected = prediction_ids(pa.array([row["event_id"] for row in theirs]), second.id).to_pylist()
    assert [row["prediction_id"] for row in theirs] == expected
    assert not {row["prediction_id"] for row in theirs} & {row["prediction_id"] for row in ours}
    _read_back(settings, site, second.id, len(beside))


def _read_back(settings: Settings, site: Site, challenger: str, count: int) -> None:
    """As `models compare --topics` reads them: a moment has one answer of each."""
    live = Live(settings, topics=True)
    first, second = live.said(PREDICTIONS, site.release.id), live.said(SHADOW, challenger)
    assert first is not None
    assert second is not None
    assert len(second) == count
    at = first.latest(second.shopper, second.time, exactly=True)
    assert (at >= 0).all()
    assert not np.allclose(first.survival[at], second.survival)


def test_a_challenger_that_cannot_be_used_is_dropped_with_a_reason_and_predictions_go_on(
    settings: Settings, tmp_path: Path
) -> None:
    site = Site(settings)
    gap = replace(card().features, session_gap_s=60.0)
    other = written(settings.releases_uri, seed=4, features=gap)
    broken = written(settings.releases_uri, seed=5)
    promotion.challenge(settings, other)
    with worker(settings, tmp_path) as running:
        site.wait(lambda: "feature_spec" in str(page(running).get("challenger")), "the refusal")
        send(site, 0, 45)
        site.wait(lambda: len(site.read("prediction")) == 45, "predictions all the same")
        promotion.challenge(settings, broken)
        site.wait(
            lambda: page(running)["challenger"] == {"release": broken.id, "dropped": None}, "another one"
        )
        promotion.stop_challenge(settings)
        site.wait(lambda: page(running)["challenger"] is None, "the end of it")
        unreadable = written(settings.releases_uri, seed=6)
        promotion.challenge(settings, unreadable)
        site.wait(lambda: (page(running)["challenger"] or {}).get("release") == unreadable.id, "a third")
        Path(unreadable.uri, WEIGHTS_FILE).write_bytes(b"short")
        promotion.promote(settings, written(settings.releases_uri, seed=7))  # the challenger in memory stays
        send(site, 45, 45)
        site.wait(lambda: len(site.read_raw(site.topics.shadow_predictions)) == 45, "its predictions")
        assert 'intentflow_challengers_dropped_total{reason="feature_spec"} 1.0' in running.page("/metrics")
        assert running.stop() == 0
    with worker(settings, tmp_path) as running:
        site.wait(lambda: "unreadable" in str(page(running).get("challenger")), "the refusal at a start")
        send(site, 90, 45)
        site.wait(lambda: len(site.read("prediction")) == 135, "predictions all the same")
        assert len(site.read_raw(site.topics.shadow_predictions)) == 45
        assert page(running)["refused"] == ""
