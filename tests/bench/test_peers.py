"""The peers of the benchmark do the worker's job: same scores, every event, and none twice after a crash."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from bench.deployment import untrained_release
from bench.peers import agreement, environments
from bench.peers.__main__ import RATIOS, _attempt, _bars, _mean, _order
from bench.peers.export import export, graph, job
from bench.peers.job import Job
from bench.peers.measure import Figures
from bench.peers.one_call import OneCall, user
from bench.peers.one_event import OneEvent
from bench.peers.programs import PEERS, Peer, Program
from bench.peers.site import Site
from bench.workload import Workload, produce
from models import promotion
from models.engine import load
from models.featurizer import FeatureSpec
from schemas import columns, topics
from schemas.codec import Codec
from schemas.kafka import confluent_config
from schemas.registry import open_registry
from schemas.settings import Settings
from tests.brokers import Unavailable
from tests.brokers.kafka import Kafka
from tests.brokers.maven import cache_folder

WORKLOAD = Workload(shoppers=300, events=6_000)
LATE_S = 120.0


def test_the_exported_graph_says_what_the_engine_says(settings: Settings, tmp_path: Path):
    release = untrained_release(settings)
    (tmp_path / "model.onnx").write_bytes(graph(release).SerializeToString())
    whole = OneCall(job(settings, release, "peer", tmp_path))
    parts = OneEvent(load(release.uri), FeatureSpec(), settings.ring_events)
    codec = Codec(open_registry(settings), "behavior_event")
    stored: dict[str, bytes] = {}
    for batch in Workload(shoppers=5, events=60).batches(codec.arrow_schema):
        for value, event in zip(codec.encode(batch), columns.plain_rows(batch), strict=True):
            assert user(value) == event["user_id"]
            before = stored.get(user(value))
            decoded = whole.event(value)
            stored[user(value)], found = whole.score(before, decoded)
            _, wanted = parts.score(before, decoded)
            assert found is not None
            assert wanted is not None
            np.testing.assert_allclose(found["survival"], wanted["survival"], atol=1e-6)
            assert found["scores"] == pytest.approx(wanted["scores"], abs=1e-6)
            assert found["next_categories"] == wanted["next_categories"]


def test_a_job_is_read_as_it_was_written(settings: Settings, tmp_path: Path):
    made = job(settings, untrained_release(settings), "peer", tmp_path)
    read = Job.read(made.write(tmp_path / "job.json"))
    assert (read.categories, read.tasks, read.features) == (made.categories, made.tasks, made.features)


def test_scores_of_other_events_are_no_agreement():
    scores = {"a": np.zeros(3), "b": np.zeros(3)}
    with pytest.raises(RuntimeError, match="only 1 are of the first events"):
        agreement.difference(scores, {"a": np.zeros(3), "c": np.zeros(3)})
    assert agreement.difference(scores, {"a": np.full(3, 0.25)}) == pytest.approx(0.25)


def test_a_program_that_fails_leaves_the_figures_of_the_others(capsys: pytest.CaptureFixture[str]):
    found: dict[str, list[Figures]] = {}
    errors: dict[str, str] = {}

    def fails(site: Site, number: int) -> Figures:
        raise FileNotFoundError("/proc/1/stat\nand its log")

    def works(site: Site, number: int) -> Figures:
        return {"events_per_s": 100.0 + 100 * number, "cores_used": 1.0, "guarantee": ""}

    site = cast("Site", SimpleNamespace(name="many"))
    for number, (name, run) in enumerate([("a", works), ("b", fails), ("a", works)]):
        _attempt(name, run, site, number, found, errors)
    assert errors == {"b_many": "FileNotFoundError: /proc/1/stat"}
    assert "and its log" in capsys.readouterr().err
    assert _mean(found["a"])["events_per_s"] == 200.0
    assert _mean(found["a"])["events_per_s_each_time"] == "100 / 300"


def test_the_worker_comes_first_and_last():
    assert _order(["a", "b", "c"], 1) == ["a", "b", "c", "a"]
    assert _order(["a", "b", "c"], 2) == ["a", "b", "c", "c", "b", "a"]
    assert _order(["a"], 1) == ["a"]


def test_every_peer_has_a_bar():
    rates = {peer.name: {"events_per_s": 10.0, "guarantee": ""} for peer in PEERS}
    rates["intentflow"] = {"events_per_s": 100.0, "guarantee": ""}
    bars = _bars(dict.fromkeys(RATIOS, rates))
    assert {peer.name for peer in PEERS} == set(RATIOS["many"])
    assert all(bar.value == pytest.approx(10.0) for bar in bars)
    assert all(bar.holds == (float(bar.bar.split()[1]) <= 10.0) for bar in bars)


@pytest.mark.peers
@pytest.mark.timeout(900)  # the first time what a peer runs in is built
@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_a_peer_scores_every_event_as_the_worker_does(
    peer: Peer, kafka_broker: Kafka, settings: Settings, tmp_path: Path
):
    program, predictions = _program(peer, settings, tmp_path)
    produce(settings, WORKLOAD)
    with program:
        _wait(program, predictions, WORKLOAD.events)
    found = agreement.written(settings, predictions, WORKLOAD.events)
    wanted = agreement.expected(settings, WORKLOAD.events)
    assert found.keys() == wanted.keys()
    assert agreement.difference(wanted, found) < agreement.CLOSE


@pytest.mark.peers
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["kafka_streams", "kafka_streams_cached"])
def test_kafka_streams_buffer_is_in_no_commit_before_it_is_scored(
    name: str, kafka_broker: Kafka, settings: Settings, tmp_path: Path
):
    (peer,) = (one for one in PEERS if one.name == name)
    program, predictions = _program(peer, settings, tmp_path)
    workload = Workload(shoppers=5_000, events=60_000)
    produce(settings, workload)
    program.launch()
    _wait(program, predictions, 5_000)
    program.kill()
    with program:
        _wait(program, predictions, workload.events)
    values = agreement.of_all(settings, predictions, workload.events)
    rows = Codec(open_registry(settings), "prediction").decode_rows(values)
    times = Counter(row["event_id"] for row in rows)
    assert len(times) == workload.events
    assert set(times.values()) == {1}


def _program(peer: Peer, settings: Settings, folder: Path) -> tuple[Program, str]:
    """A peer ready to start, and its topic; skips where what it runs in was not built and is large."""
    lock = peer.name if (environments.HERE / f"{peer.name}.lock").exists() else None
    if lock and not (cache_folder() / environments.environment_name(lock)).is_dir():
        pytest.skip(f"make bench-peers builds the environment of {lock}, which is large")
    try:
        command: Callable[[str], list[str]] = peer.prepare()
    except Unavailable as missing:
        pytest.skip(str(missing))
    topics.create(settings)
    promotion.promote(settings, untrained_release(settings))
    group = f"{settings.app_id}-{peer.name}"
    made = Job.read(export(settings, group, folder / group))
    _create(settings, made.predictions)
    return Program(peer, command(str(folder / group / "job.json")), settings, group, folder), made.predictions


def _create(settings: Settings, topic: str) -> None:
    admin = AdminClient(confluent_config(settings))
    admin.create_topics([NewTopic(topic, settings.partitions, 1)])[topic].result(timeout=30.0)


def _wait(program: Program, predictions: str, events: int) -> None:
    """Until it has done so many events, as `Program.progress` counts them."""
    progress = program.progress(predictions)
    end = time.monotonic() + LATE_S
    try:
        while progress.total() < events:
            program.check()
            assert time.monotonic() < end, program.tail()
            time.sleep(0.2)
    finally:
        progress.close()
