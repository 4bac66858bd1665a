"""The archive agent on a broker: each record once on disk, whatever happens to the agent."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from schemas import topics
from schemas.codec import Codec
from schemas.kafka import confluent_config
from schemas.registry import FileRegistry
from schemas.settings import Settings
from schemas.topics import TopicProblem, Topics
from streams.archive import Archive
from tests.streams.archiving import T0, Wire, archived, decision, event, files, outcome, places, prediction
from tests.streams.site import environment

pytestmark = pytest.mark.embedded

# The agent as a process of its own, with files small enough to be caught between two of them.
AGENT = """
import sys
from schemas.settings import Settings
from streams.archive import Archive, archive
if sys.argv[1] == "archive":
    archive(Settings.load())
else:
    Archive(Settings.load(), "one", file_offsets=int(sys.argv[1])).run(until_end=True)
"""


@pytest.fixture
def stream(settings: Settings) -> Settings:
    """Topics of this test alone, and a consumer group of its own."""
    # Events here have times of their own, and so have their records: no retention may take them away.
    changes = {"app_id": settings.topic_prefix.strip("-"), "session_timeout_s": 6.0, "retention_days": 0.0}
    stream = settings.model_copy(update=changes)
    topics.create(stream)
    return stream


@pytest.fixture
def agent(stream: Settings) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Starts agents, and ends those still running."""
    running: list[subprocess.Popen[bytes]] = []

    def start(argument: str) -> subprocess.Popen[bytes]:
        running.append(subprocess.Popen([sys.executable, "-c", AGENT, argument], env=environment(stream)))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()


def wait_for(met: Callable[[], bool], seconds: float = 40) -> None:
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.01)


def test_writes_the_topics_with_their_places(stream: Settings) -> None:
    wire = Wire(stream)
    wire.rows("behavior_event", [event(n) for n in range(300)], partition=1)
    wire.rows("prediction", [prediction(n) for n in range(20)])
    wire.rows("shadow_prediction", [prediction(n) for n in range(7)])
    wire.rows("decision", [decision(n) for n in range(10)], partition=2)
    wire.rows("outcome", [outcome(n) for n in range(3)], partition=2)
    wire.flush()
    agent = Archive(stream)
    agent.run(until_end=True)
    counts = {"events": 300, "predictions": 20, "shadow_predictions": 7, "decisions": 10, "outcomes": 3}
    assert agent.rows == counts
    assert places(stream, "shadow_predictions") == [(0, n) for n in range(7)]
    assert not agent.skipped
    found = archived(stream, "events")
    assert places(stream, "events") == [(1, n) for n in range(300)]
    assert found["_timestamp"].to_pylist() == [event(n)["event_time"] + 1 for n in range(300)]
    schema = Codec(FileRegistry(), "behavior_event").arrow_schema
    assert found.column_names == [*schema.names, "_partition", "_offset", "_timestamp"]
    rows = found.select(schema.names).to_pylist(maps_as_pydicts="strict")
    assert [row["properties"] for row in rows] == [{"n": str(n)} for n in range(300)]
    assert [path.parent.name for path in files(stream, "events")] == ["day=2026-05-28", "day=2026-05-29"]
    assert archived(stream, "predictions")["survival"][0].as_py() == pytest.approx([0.9, 0.8])
    assert archived(stream, "decisions")["kind"].to_pylist() == ["coupon"] * 10


def test_a_killed_agents_successor_leaves_each_record_once(
    stream: Settings, agent: Callable[[str], subprocess.Popen[bytes]]
) -> None:
    wire = Wire(stream)
    for partition in range(4):
        wire.rows("behavior_event", [event(n % 1000) for n in range(15_000)], partition)
    wire.flush()
    for enough in (5, 60, 150):
        process = agent("500")
        wait_for(lambda enough=enough: len(files(stream)) >= enough)  # type: ignore[misc]
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert 0 < len(places(stream, "events")) < 60_000, "it was done before it could be killed: give it more"
    assert agent("500").wait(60) == 0
    assert places(stream, "events") == [(partition, n) for partition in range(4) for n in range(15_000)]


def test_a_second_run_goes_on_where_the_range_began_and_fills_it(stream: Settings) -> None:
    wire = Wire(stream)
    for batch in (range(130), range(130, 250)):
        wire.rows("behavior_event", [event(n) for n in batch])
        wire.flush()
        Archive(stream, file_offsets=100).run(until_end=True)
    assert places(stream, "events") == [(0, n) for n in range(250)]
    assert {path.name for path in files(stream)} == {
        f"{Topics(stream).behavior_events}-0-{first}.parquet" for first in (0, 100, 200)
    }


def test_keeps_what_the_topic_no_longer_has(stream: Settings) -> None:
    wire = Wire(stream)
    wire.rows("behavior_event", [event(n) for n in range(80)])
    wire.flush()
    Archive(stream, file_offsets=100).run(until_end=True)
    gone = TopicPartition(Topics(stream).behavior_events, 0, 50)
    admin = AdminClient(confluent_config(stream))
    admin.delete_records([gone])[gone].result(10)
    wire.rows("behavior_event", [event(n) for n in range(80, 120)])
    wire.flush()
    Archive(stream, file_offsets=100).run(until_end=True)
    assert places(stream, "events") == [(0, n) for n in range(120)]


def test_leaves_out_what_the_worker_calls_a_dead_letter(stream: Settings) -> None:
    wire = Wire(stream)
    wire.rows("behavior_event", [event(0), event(1, price=float("nan")), event(2, user=""), event(3)])
    wire.raw("behavior_event", b"no avro", 0)
    wire.raw("behavior_event", None, 0)
    wire.raw("behavior_event", b"\0\0\0\x27\x0f....", 0)
    wire.rows("behavior_event", [event(4, event_time=T0 + 10**12) | {"user_id": "u1"}])
    wire.flush()
    agent = Archive(stream, file_offsets=4)
    agent.run(until_end=True)
    assert places(stream, "events") == [(0, 0), (0, 3), (0, 7)]
    assert agent.skipped == {
        "bad_number": 1,
        "missing_user": 1,
        "undecodable": 1,
        "null_value": 1,
        "unknown_schema": 1,
    }


def test_following_it_writes_what_is_incomplete_now_and_then(stream: Settings) -> None:
    wire, stop = Wire(stream), threading.Event()
    agent = Archive(stream, write_every_s=0.5)
    thread = threading.Thread(target=agent.run, kwargs={"stop": stop})
    thread.start()
    try:
        for batch in (range(10), range(10, 25)):
            wire.rows("behavior_event", [event(n) for n in batch])
            wire.flush()
            wait_for(lambda batch=batch: bool(files(stream)) and len(places(stream, "events")) == batch.stop)  # type: ignore[misc]
    finally:
        stop.set()
        thread.join(20)
    assert len(files(stream)) == 1


def test_sigterm_puts_on_disk_what_was_read_and_ends_well(
    stream: Settings, agent: Callable[[str], subprocess.Popen[bytes]]
) -> None:
    wire = Wire(stream)
    wire.rows("behavior_event", [event(n) for n in range(50)])
    wire.flush()
    process = agent("archive")
    time.sleep(6)  # it writes an incomplete range every 30 s, so nothing is there yet
    assert process.poll() is None
    assert not files(stream)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(20) == 0
    assert places(stream, "events") == [(0, n) for n in range(50)]


def test_two_agents_share_the_partitions(stream: Settings) -> None:
    wire, stop = Wire(stream), threading.Event()
    agents = [Archive(stream, file_offsets=100, write_every_s=0.5) for _ in range(2)]
    threads = [threading.Thread(target=agent.run, kwargs={"stop": stop}) for agent in agents]
    try:
        for number, thread in enumerate(threads):
            thread.start()
            for partition in range(4):
                wire.rows("behavior_event", [event(n) for n in range(350)], partition)
            wire.flush()
            wait_for(lambda number=number: len(places_or_none(stream)) >= 1400 * (number + 1))  # type: ignore[misc]
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)
    assert places(stream, "events") == [(partition, n) for partition in range(4) for n in range(700)]


def places_or_none(settings: Settings) -> list[tuple[int, int]]:
    return places(settings, "events") if files(settings, "events") else []


def test_missing_topics_are_named_with_the_mend(settings: Settings) -> None:
    with pytest.raises(TopicProblem, match=r"predictions.*intentflow topics create"):
        Archive(settings).run(until_end=True)
