"""Drift of a sample against its reference: none on the same distribution, found where something was moved."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from models import engine
from models.drift import record, reference
from models.drift.calibration import matured, outcomes
from models.drift.measure import Drift, measure
from models.drift.reference import Column, Sample
from models.engine import Engine
from models.release import ReleaseProblem
from models.replay.dataset import Sequences
from models.replay.history import DAY_MS
from models.replay.source import Interval, SourceProblem
from schemas.codec import Codec
from schemas.registry import FileRegistry
from tests.models.releases import written
from tests.models.replay.shop import START, event, rows, sequences

LEARNT = Interval(START, START + 60 * DAY_MS)
LATER = Interval(START + 60 * DAY_MS, START + 120 * DAY_MS)
EVENTS = rows(shoppers=150, days=120)


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return engine.load(written(tmp_path_factory.mktemp("releases")).uri)


def looked_at(
    backend: Engine, events: list[dict[str, object]], interval: Interval
) -> tuple[Sequences, Sample]:
    from tests.models.releases import card

    found = sequences(events)
    return found, reference.sample(found, backend, card().features, interval)


def described(backend: Engine) -> tuple[Column, ...]:
    return reference.describe(looked_at(backend, EVENTS, LEARNT)[1], backend.tasks)


def measured(backend: Engine, events: list[dict[str, object]], interval: Interval = LATER) -> Drift:
    found, now = looked_at(backend, events, interval)
    return measure("r", described(backend), now, found, backend.tasks, interval)


def test_a_reference_against_itself_has_not_moved(backend: Engine) -> None:
    drift = measured(backend, EVENTS, LEARNT)
    assert {one.psi for one in drift.shifts} == {0.0}
    assert all(one.p is None or one.p > 0.99 for one in drift.shifts)
    assert {one.verdict for one in drift.shifts} == {"steady", "grows"}


def test_what_was_moved_is_named_and_what_was_not_is_steady(backend: Engine) -> None:
    dearer = [row | {"price": float(row["price"]) * 4} for row in EVENTS]  # type: ignore[arg-type]
    verdicts = {one.name: one.verdict for one in measured(backend, dearer).shifts}
    assert verdicts["log_price"] == "drift"
    assert verdicts["log_quantity"] == verdicts["hour_sin"] == "steady"
    renamed = [row | {"category_id": f"new {row['category_id']}"} for row in EVENTS]
    verdicts = {one.name: one.verdict for one in measured(backend, renamed).shifts}
    assert verdicts["category"] == "drift"
    assert verdicts["event_type"] == "steady"


def test_ages_grow_and_are_shown_without_a_verdict(backend: Engine) -> None:
    tenure = next(one for one in measured(backend, EVENTS).shifts if one.name == "log_tenure")
    assert tenure.psi > 0.25
    assert tenure.verdict == "grows"


def test_outcomes_are_decided_only_when_their_horizon_has_ended() -> None:
    found = sequences([event("a", START), event("a", START + 5 * DAY_MS), event("a", START + 50 * DAY_MS)])
    times, shopper = found.events["time"], found.shopper
    happened, decided = outcomes("buy_7d", found.purchases, shopper, times, START + 20 * DAY_MS)
    assert happened.tolist() == [1, 0, 0]
    assert decided.tolist() == [True, True, False]
    assert outcomes("lapse_30d", found.purchases, shopper, times, START)[0].tolist() == [0, 1, 1]
    with pytest.raises(ValueError, match="task 'click'"):
        outcomes("click", found.purchases, shopper, times, START)


@pytest.mark.parametrize(("truth", "verdict"), [(0.3, "steady"), (0.32, "look"), (0.45, "drift")])
def test_calibration_tells_chance_from_drift(truth: float, verdict: str) -> None:
    rng = np.random.default_rng(2)
    happened = (rng.random(20_000) < truth).astype(float)
    found = matured("buy_7d", np.full(20_000, 0.3), happened, np.arange(20_000))
    assert found is not None
    assert found.verdict == verdict
    assert (found.low <= truth - 0.3 <= found.high) is True


def test_rows_of_one_shopper_are_not_taken_for_independent() -> None:
    rng = np.random.default_rng(0)
    shopper = np.repeat(np.arange(100), 50)
    happened = np.repeat(rng.random(100) < 0.3, 50).astype(float)  # all of a shopper's rows come out alike
    scores = np.full(5000, 0.3)
    apart = [matured("buy_7d", scores, happened, of) for of in (shopper, np.arange(5000))]
    widths = [one.high - one.low for one in apart if one]
    assert widths[0] == pytest.approx(widths[1] * np.sqrt(50), rel=0.05)
    assert matured("buy_7d", scores[:0], happened[:0], shopper[:0]) is None


def test_the_reference_is_written_and_read_beside_a_release(backend: Engine, tmp_path: Path) -> None:
    columns = described(backend)
    release = written(tmp_path)
    with pytest.raises(ReleaseProblem, match=r"no reference\.json"):
        reference.read(release)
    (Path(release.uri) / reference.REFERENCE_FILE).write_bytes(reference.to_json(columns))
    assert reference.read(release) == columns
    (Path(release.uri) / reference.REFERENCE_FILE).write_text(json.dumps({"format": 9}))
    with pytest.raises(ReleaseProblem, match="format 9"):
        reference.read(release)


def test_an_interval_without_events_is_refused(backend: Engine) -> None:
    with pytest.raises(SourceProblem, match="choose another interval"):
        looked_at(backend, EVENTS, Interval(0, 1))


def test_the_record_goes_through_its_schema(backend: Engine) -> None:
    drift, codec = measured(backend, EVENTS), Codec(FileRegistry(), record.SCHEMA)
    row = record.row(drift, "intent", START)
    (back,) = codec.decode_rows(codec.encode_rows([row]))
    assert back["verdict"] == drift.verdict
    assert back["columns"] == row["columns"]
    assert [one["task"] for one in back["calibration"]] == [one.task for one in drift.calibration]


def test_the_metrics_file_is_what_prometheus_reads(backend: Engine, tmp_path: Path) -> None:
    from prometheus_client.parser import text_string_to_metric_families as families

    drift = measured(backend, EVENTS)
    record.write_metrics(drift, tmp_path / "drift.prom")
    found = {one.name: one.samples for one in families((tmp_path / "drift.prom").read_text())}
    psi = {one.labels["column"]: one.value for one in found["intentflow_drift_psi"]}
    assert psi == pytest.approx({one.name: one.psi for one in drift.shifts})
    assert found["intentflow_drift_verdict"][0].value in (0, 1, 2)
