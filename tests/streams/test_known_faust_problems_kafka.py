"""Faust's known problems that need a running broker to show: floods, and a computation that outlasts its session.

`docs/faust-problems.md` lists all of them with their tests.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka import Producer

from bench.processes import Committed
from schemas.kafka import confluent_config
from schemas.settings import Settings
from tests.streams.live import CODECS, event
from tests.streams.site import Site, Worker, environment, worker

pytestmark = pytest.mark.kafka

SHOPPERS = 500
STALLING = """
import time
from schemas.settings import Settings
from streams.passing import Pass
from streams.worker import run

process, left = Pass.process, [1]

def stalling(self, *rest):
    if left and left.pop():
        print("stalled", flush=True)
        time.sleep({seconds})
    return process(self, *rest)

Pass.process = stalling
run(Settings.load())
"""


class StallingWorker(Worker):
    """A worker whose first batch takes `seconds` to compute."""

    def __init__(self, settings: Settings, folder: Path, seconds: float) -> None:
        self._log = folder / "stalling.log"
        program = [sys.executable, "-c", STALLING.format(seconds=seconds)]
        with self._log.open("wb") as out:
            self.process = subprocess.Popen(
                program, env=environment(settings), stdout=out, stderr=subprocess.STDOUT
            )


def test_a_flood_far_above_what_may_wait_loses_and_doubles_nothing(
    settings: Settings, tmp_path: Path
) -> None:
    """T8, F#88: 300 times what may wait for one partition, which is fetched while the partition says "hold"."""
    settings = settings.model_copy(update={"batch_records": 20, "checkpoint_interval_s": 1.0})
    site = Site(settings)
    rows = [event(at % SHOPPERS, at) for at in range(24_000)]
    site.send(rows)
    progress = Committed(settings, settings.app_id)
    with worker(settings, tmp_path) as running:
        site.wait(lambda: progress.total() == len(rows), "the flood", 100)
        assert running.stop() == 0, running.log
    predicted = [row["event_id"] for row in site.read("prediction")]
    assert len(predicted) == len(set(predicted))
    assert set(predicted) == {row["event_id"] for row in rows}


def test_a_computation_that_outlasts_the_session_neither_loses_its_partitions_nor_holds_up_a_rebalance(
    settings: Settings, tmp_path: Path
) -> None:
    """T9, F#133: 8 s in one batch with a session of 6 s, and a second worker comes meanwhile."""
    settings = settings.model_copy(update={"session_timeout_s": 6.0})
    other = settings.model_copy(update={"data_dir": str(tmp_path / "other")})
    site = Site(settings)
    rows = [event(at % SHOPPERS, at) for at in range(2_000)]
    site.send(rows[:1_000])
    first = StallingWorker(settings, tmp_path, seconds=8.0)
    try:
        site.wait(lambda: "stalled" in first.log, "the stall")
        with worker(other, tmp_path) as second:
            site.wait(lambda: second.page().count('"state": "live"') == 2, "the second worker's share")
            site.send(rows[1_000:])
            site.wait(lambda: len(site.read("prediction")) >= len(rows), "all predictions")
            assert second.stop() == 0, second.log
        assert first.stop() == 0, first.log
    finally:
        first.kill()
    predicted = [row["event_id"] for row in site.read("prediction")]
    assert sorted(predicted) == sorted(row["event_id"] for row in rows)


def test_a_topic_with_another_number_of_partitions_stops_the_start(
    settings: Settings, tmp_path: Path
) -> None:
    """T17: before anything is consumed, with the topic, both numbers and the mend."""
    Site(settings)
    with worker(settings.model_copy(update={"partitions": 8}), tmp_path) as refused:
        assert refused.process.wait(30) != 0
        assert "number of partitions is 4, want 8" in refused.log
        assert "INTENTFLOW_PARTITIONS=4" in refused.log


def test_a_tail_without_records_is_no_backlog(settings: Settings, tmp_path: Path) -> None:
    """F#629, T10: a transaction's marker is an offset that no worker ever commits; it must not pass for being stuck."""
    settings = settings.model_copy(update={"partitions": 1, "stuck_after_s": 2.0})
    site = Site(settings)
    producer = Producer(confluent_config(settings, transactional_id=settings.app_id))
    producer.init_transactions(30)
    producer.begin_transaction()
    (value,) = CODECS.behavior_event.encode_rows([event(1, 0)])
    producer.produce(site.topics.behavior_events, value=value, key=b"user-1")
    producer.commit_transaction(30)
    with worker(settings, tmp_path) as running:
        site.wait(lambda: len(site.read("prediction")) == 1, "the prediction")
        time.sleep(3 * settings.stuck_after_s)
        assert '"healthy": true' in running.page()
        assert 'intentflow_lag_records{partition="0"} 0.0' in running.page("/metrics")


def test_a_worker_more_than_there_are_partitions_waits_and_takes_over(
    settings: Settings, tmp_path: Path
) -> None:
    """R#134, R#517: it hangs nobody's rebalance, stays healthy, and goes on where the other stopped."""
    settings = settings.model_copy(update={"partitions": 1, "session_timeout_s": 6.0, "stuck_after_s": 3.0})
    other = settings.model_copy(update={"data_dir": str(tmp_path / "other")})
    site = Site(settings)
    rows = [event(at % 40, at) for at in range(400)]
    with worker(settings, tmp_path) as first, worker(other, tmp_path) as second:
        site.send(rows[:200])
        site.wait(lambda: len(site.read("prediction")) == 200, "200 predictions")
        site.wait(lambda: '"healthy": true' in first.page() + second.page(), "both to be healthy")
        busy, idle = (first, second) if '"state": "live"' in first.page() else (second, first)
        busy.kill()
        site.send(rows[200:])
        site.wait(lambda: len(site.read("prediction")) >= 400, "the other 200")
        assert idle.stop() == 0, idle.log
    predicted = [row["event_id"] for row in site.read("prediction")]
    assert sorted(predicted) == sorted(row["event_id"] for row in rows)
