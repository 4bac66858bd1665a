"""Rows about running it: 12 to 19 and 25. Where a promise is tested whole beside its code, that test is called."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import generate_latest

from models import promotion
from models.engine import Engine, load
from models.replay.backfill import topic_of
from models.replay.scoring import score
from models.replay.source import SourceProblem
from schemas import avro, compat
from schemas.registry import recorded_ids
from schemas.settings import Settings
from schemas.topics import Topics
from streams import metrics
from streams.compiled import CompiledPolicy
from streams.policy.whom import FrequencyCap
from tests.models.drift import test_measure as drift
from tests.models.releases import written
from tests.models.replay import test_doubles, test_imports
from tests.models.replay.shop import sequences
from tests.streams import test_following as following
from tests.streams import test_shoppers as shoppers
from tests.streams.cli import test_redrive as redrive
from tests.streams.live import CODECS, START, Partition, event, records, release
from tests.streams.test_deciding_live import click, decisions, policy

MINUTE = 60_000


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return release(tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return load(written(tmp_path_factory.mktemp("releases")).uri)


def test_row_12_a_replay_cannot_send(settings: Settings) -> None:
    test_imports.test_the_import_graph_of_the_replay_job_stays_out_of_streams()
    test_imports.test_the_running_command_line_of_the_job_has_loaded_nothing_of_the_live_path()
    live = Topics(settings)
    assert topic_of(settings, "again") == f"{live.predictions}-backfill-again"
    for name in ("../interventions", "", "a b"):
        with pytest.raises(SourceProblem):
            topic_of(settings, name)


@pytest.mark.parametrize("reason", [*shoppers.BAD, *shoppers.BAD_ROWS])
def test_row_13_dead_letters_keep_the_bytes_the_headers_the_place_and_the_reason(
    tmp_path: Path, uri: str, reason: str
) -> None:
    shoppers.test_a_bad_record_is_buried_whole_and_the_others_are_scored(tmp_path, uri, reason)


@pytest.mark.embedded
def test_row_13_dead_letters_can_be_put_back_mended_or_as_they_were(run: Any, shop: Settings) -> None:
    redrive.test_letters_go_back_as_they_were_and_only_once(run, shop)


def test_row_14_schemas_evolve_backward_transitively_and_values_name_theirs() -> None:
    compat_of_all = [
        (name, problem)
        for name in recorded_ids()
        for old in (Path(avro.__file__).parent / "history").glob(f"{name}.*.avsc")
        for problem in compat.problems(
            avro.parse(avro.current(name)), avro.parse(old.read_text(encoding="utf-8"))
        )
    ]
    assert compat_of_all == []
    (value,) = CODECS.behavior_event.encode_rows([event(1, 0)])
    assert value is not None
    assert value[0] == 0
    assert int.from_bytes(value[1:5], "big") == recorded_ids()["behavior_event"][-1]


@pytest.mark.embedded
def test_row_15_a_release_is_promoted_and_taken_back_at_once(shop: Settings) -> None:
    first, second = (written(shop.releases_uri, seed) for seed in (1, 2))
    for one in (first, second):
        promotion.promote(shop, one)
    assert promotion.rollback(shop).release == first.id
    found = promotion.promoted(shop)
    assert found is not None
    assert found.open() == first


def test_row_15_workers_take_a_release_without_a_restart(settings: Settings, tmp_path: Path) -> None:
    found = following.following(settings, written(tmp_path / "a", 1))
    assert found.model is not None
    assert found.model.engine.release_id.startswith("intent-")
    made = Partition(tmp_path / "worker", written(tmp_path / "b", 1).uri)
    made.process(records([event(1, 0)]))
    after = written(tmp_path / "c", 2)
    made.use(after.uri)
    made.process(records([event(1, 1)], 1))
    before, later = (row["release"] for row in made.predictions())
    assert before != later == after.id


def test_row_16_drift_of_inputs_scores_and_calibration_is_told_per_release(backend: Engine) -> None:
    drift.test_what_was_moved_is_named_and_what_was_not_is_steady(backend)
    drift.test_the_record_goes_through_its_schema(backend)
    drift.test_outcomes_are_decided_only_when_their_horizon_has_ended()


def test_row_17_an_erasure_leaves_tombstones_and_is_kept_when_the_archive_is_replayed(tmp_path: Path) -> None:
    shoppers.test_an_erasure_empties_row_and_contact_and_leaves_tombstones(tmp_path)
    test_doubles.test_what_a_shopper_had_erased_is_gone_with_the_erasure_and_nothing_else_is()


def test_row_18_doubles_and_late_events_are_handled_and_counted(tmp_path: Path, uri: str) -> None:
    made = Partition(tmp_path, uri, policy=policy())
    rows = [click(1, 0), click(1, 10), click(1, 10), click(1, 5)]
    work = made.process(records(rows))
    assert work.reasons == {"double": 1}
    assert work.applied is not None
    assert (work.applied.doubles, work.applied.late) == (1, 1)
    assert len(decisions(made)) == 3
    times = [row["event_time"] for row in made.predictions()]
    assert times == [START, START + 10 * MINUTE, START + 5 * MINUTE]


def test_row_19_what_is_learnt_from_is_what_live_saw_at_that_time(tmp_path: Path, uri: str) -> None:
    """The same featurizer and engine, offline over the whole history and live in batches: the same scores at each event."""
    rows = [event(user, 7 * at + user) for at in range(9) for user in range(3)]
    made = Partition(tmp_path, uri)
    for first in range(0, len(rows), 5):
        made.process(records(rows[first : first + 5], first))
    live = {row["event_id"]: row["scores"] for row in made.predictions()}
    backend, found = load(uri), sequences(rows)
    offline = 0
    for at, scores in score(found, backend, made.model.card.features, np.ones(len(found), bool)):
        for row, values in zip(at.tolist(), scores.tasks, strict=True):
            user, time = found.users[int(found.shopper[row])].as_py(), int(found.events["time"][row])
            (same,) = [one["event_id"] for one in rows if (one["user_id"], one["event_time"]) == (user, time)]
            np.testing.assert_allclose(values, [live[same][task] for task in backend.tasks], atol=1e-5)
            offline += 1
    assert offline == len(rows) == len(live)


def test_row_25_lag_latency_batches_cap_hits_and_reasons_are_on_the_metrics_page(
    tmp_path: Path, uri: str
) -> None:
    cap = [{"count": 1, "hours": 1, "kinds": ["coupon"]}]
    source = policy()
    capped = CompiledPolicy(source.policy.model_copy(update={"frequency_caps": _caps(cap)}), source.tasks)
    made = Partition(tmp_path, uri, policy=capped)
    work = made.process(records([click(1, 0), click(1, 1), click(1, 1)]))
    before = [_count(*one) for one in (("emit", "emitted"), ("held_back", "frequency_cap"))]
    metrics.count([(0, work)])
    metrics.LAG.labels("0").set(0)
    after = [_count(*one) for one in (("emit", "emitted"), ("held_back", "frequency_cap"))]
    assert after == [number + 1 for number in before]
    page = generate_latest().decode()
    for name in (
        "intentflow_lag_records",
        "intentflow_latency_seconds_bucket",
        "intentflow_batch_events_bucket",
        "intentflow_decisions_total",
        "intentflow_interventions_total",
        "intentflow_dropped_total",
        "intentflow_late_events_total",
    ):
        assert f"\n{name}" in page, name
    alerts = Path("deploy/alerts.yml").read_text(encoding="utf-8")
    asked = {re.sub("_bucket$", "", name) for name in re.findall(r"intentflow_\w+", alerts)}
    known = {name for name in asked if f" {name} " in page or f" {name.removesuffix('_total')} " in page}
    others = {"intentflow_drift_verdict", "intentflow_agent_lag_records"}
    assert asked - known <= others, "written by the replay job and by agents, not by a worker"


def _count(outcome: str, reason: str) -> float:
    return float(metrics.DECISIONS.labels(outcome, reason)._value.get())


def _caps(rows: list[dict[str, Any]]) -> list[FrequencyCap]:
    return [FrequencyCap.model_validate(row) for row in rows]
