"""Faust's known problems, as far as they show without a broker; docs/faust-problems.md lists all with their tests."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from schemas.settings import Settings
from streams import transport
from streams.health import Health
from streams.partition import Partition
from streams.passing import Pass
from streams.progress import Progress
from streams.store import Store, StoreProblem
from streams.transport import Batch, Batches
from streams.watchdog import Watchdog
from tests.streams.kafkaless import END_S, SOURCE, Desk, Reader, Stage, until
from tests.streams.live import Partition as Live
from tests.streams.live import event, records, release

FAUSTS_BUFFER = 4096  # stream_buffer_maxsize by default


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return release(tmp_path_factory.mktemp("release"))


@pytest.fixture
def stage(settings: Settings, uri: str, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(settings, uri, monkeypatch)


def log_of(events: int, users: int = 40) -> list[Any]:
    return records([event(at % users, at) for at in range(events)])


def test_a_record_over_which_the_pass_raises_is_buried_and_the_rest_of_its_batch_is_scored(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T1, F#126: nothing of the batch is acknowledged until it is done, and the poisoned record alone is not scored."""
    log, poison = log_of(300), 137
    process = Pass.process

    def raising(self: Any, shares: Any, *arguments: Any) -> Any:
        if any(record.offset == poison for _, records in shares for record in records):
            raise ZeroDivisionError("the pass cannot do this one")
        return process(self, shares, *arguments)

    monkeypatch.setattr(Pass, "process", raising)
    desk = Desk()

    async def to_the_end(partition: Partition) -> None:
        await until(lambda: desk.committed == len(log), partition)

    stage.run(Reader(log, desk, lambda: 50), desk, to_the_end)
    (letter,) = desk.rows("dead-letters", "dead_letter")
    assert (letter["offset"], letter["reason"], letter["value"]) == (poison, "poisoned", log[poison].value)
    scored = [event(at % 40, at)["event_id"] for at in range(300) if at != poison]
    assert desk.event_ids() == scored


@pytest.mark.parametrize("seed", range(3))
def test_the_committed_offset_never_passes_an_event_that_is_not_published(stage: Stage, seed: int) -> None:
    """T2, F#606: batches of any size, transactions of any length."""
    rng, log, desk = random.Random(seed), log_of(600), Desk(0.02, seed)

    async def to_the_end(partition: Partition) -> None:
        await until(lambda: desk.committed == len(log), partition)

    stage.run(Reader(log, desk, lambda: rng.randrange(1, 90)), desk, to_the_end)
    published = 0
    for offset, outputs in zip(desk.offsets, desk.outputs, strict=True):
        published += len(outputs.get("predictions", []))
        assert offset == published  # every event below it, and none twice
    assert desk.event_ids() == [event(at % 40, at)["event_id"] for at in range(600)]


def test_offsets_that_a_topic_does_not_have_stop_nothing(stage: Stage) -> None:
    """F#86, R#379: compaction and transaction markers leave gaps; there is no list of acknowledged offsets to fill."""
    log, desk = log_of(10), Desk()
    for at, record in enumerate(log):
        record.offset = at * 1_000_000

    async def to_the_end(partition: Partition) -> None:
        await until(lambda: desk.committed == log[-1].offset + 1, partition)

    stage.run(Reader(log, desk), desk, to_the_end)
    assert len(desk.event_ids()) == 10


def test_a_flood_is_held_back_and_none_of_it_is_dropped(stage: Stage) -> None:
    """T8, F#88: more deliveries than Faust's buffer takes, faster than they are committed."""
    log, desk = log_of(FAUSTS_BUFFER + 500, 200), Desk(0.002)
    reader = Reader(log, desk)

    async def to_the_end(partition: Partition) -> None:
        await until(lambda: desk.committed == len(log), partition)

    stage.run(reader, desk, to_the_end)
    assert reader.holds > 1
    assert len(desk.event_ids()) == len(set(desk.event_ids())) == len(log)


def test_a_computation_that_stalls_leaves_the_loop_free_and_its_batch_is_committed_before_the_partition_goes(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T9, F#133, R#259: heartbeats and the rebalance go on meanwhile, because computing is not the loop's work."""
    stalled, resume = threading.Event(), threading.Event()
    process = Pass.process

    def stalling(self: Any, *arguments: Any) -> Any:
        stalled.set()
        assert resume.wait(END_S)
        return process(self, *arguments)

    monkeypatch.setattr(Pass, "process", stalling)
    desk = Desk()

    async def stop_in_the_stall(partition: Partition) -> None:
        await until(stalled.is_set)
        revoke = asyncio.create_task(partition.stop())
        for _ in range(20):
            await asyncio.sleep(0.001)  # the loop turns
        assert not revoke.done()
        resume.set()
        await revoke

    stage.run(Reader(log_of(1), desk), desk, stop_in_the_stall)
    assert desk.offsets == [1]


def test_a_failed_commit_ends_the_partition_and_says_why(stage: Stage) -> None:
    """R#604, F#611: what was not committed is not acknowledged; the process ends and its successor reads it again."""
    desk = Desk()
    desk.failing = ConnectionError("the broker is gone")

    async def fail(partition: Partition) -> None:
        await until(lambda: partition.failure is not None)
        assert partition.failure is desk.failing

    stage.run(Reader(log_of(1), desk), desk, fail)
    assert desk.offsets == []


def test_records_already_fetched_when_a_partition_says_hold_are_delivered() -> None:
    """F#88: the consumer's position is behind them, so they would be gone without a trace."""
    batch = Batch(1, 1, log_of(2))

    class Fetching(transport.BatchConsumer):
        flow_active = True

        def __init__(self) -> None:
            self._open, self._held = {SOURCE}, set()
            self.app = SimpleNamespace(consumer_generation_id=1)  # type: ignore[assignment]

        async def _wait_next_records(self, timeout: float) -> tuple[Any, Any]:
            self.hold(SOURCE, True)  # the agent has given the batch before to its partition meanwhile
            return {SOURCE: batch}, {SOURCE}

        def _message_of(self, batches: Batches) -> Any:
            return batches

    async def fetch() -> list[Any]:
        return [found async for _, found in Fetching().getmany(1.0)]

    assert asyncio.run(fetch()) == [{SOURCE: batch}]


def test_a_batch_from_before_the_partition_was_opened_again_is_not_applied(stage: Stage) -> None:
    """F#216, F#236: what was prefetched survives a rebalance, and its events would pass those that redo still needs."""
    log, desk = log_of(100), Desk()

    async def stale(partition: Partition) -> None:
        await until(lambda: desk.committed == len(log), partition)
        partition.give(Batch(0, 1, records([event(1, 500)], first=500)))

    stage.run(Reader(log, desk), desk, stale)
    assert desk.committed == len(log)


def test_a_partition_that_should_get_on_and_does_not_makes_the_worker_unhealthy(settings: Settings) -> None:
    """T10, F#175, F#640: judged by the end that the broker tells, not by what the consumer believes."""
    mark, end = [0], [5]
    partition: Any = SimpleNamespace(
        mark=lambda: tuple(mark), behind=lambda end: end > 0, failure=None, progress=Progress(state="live")
    )
    watched = {SOURCE: partition}
    watchdog = Watchdog(settings.model_copy(update={"stuck_after_s": 10.0}), watched, lambda _: None)
    following: Any = SimpleNamespace(model=None, policy=None, challenger=None, problem="")
    standbys: Any = SimpleNamespace(offsets=dict)
    health = Health(settings, watched, standbys, following, watchdog)
    start = time.monotonic() - 100  # so that the seconds below have passed

    def healthy_after_looks_at(*seconds: float) -> bool:
        for second in seconds:
            watchdog.look({SOURCE: end[0]}, start + second)
        return health.report()[0]

    assert not healthy_after_looks_at(0, 50, 89)
    assert health.report()[1]["partitions"]["0"]["state"] == "stuck"
    mark[0] += 1
    assert healthy_after_looks_at(95)  # it got on
    end[0] = 0
    assert healthy_after_looks_at(96, 100)  # nothing to do


def test_a_store_opens_again_while_what_was_read_from_it_is_still_held(tmp_path: Path) -> None:
    """T7, F#90: reads are multi-gets that return bytes; no iterator over RocksDB can outlive the partition."""
    store = Store(tmp_path, 1 << 20, 1 << 20)
    store.write({b"user-1": b"row"}, {}, {"sequences": 1})
    held = store.sequences([b"user-1"])
    store.close()
    again = Store(tmp_path, 1 << 20, 1 << 20)
    assert again.sequences([b"user-1"]) == held == [b"row"]
    again.close()


def test_the_stores_lock_is_said_to_be_anothers(tmp_path: Path) -> None:
    """R#299: two workers with one folder are told so, and no retries for half a minute."""
    store = Store(tmp_path, 1 << 20, 1 << 20)
    with pytest.raises(StoreProblem, match="INTENTFLOW_DATA_DIR"):
        Store(tmp_path, 1 << 20, 1 << 20)
    store.close()


def test_a_tombstone_in_a_changelog_takes_the_row_out(tmp_path: Path, uri: str) -> None:
    """R#143, R#311: a null value deletes, from any thread, without an event under way."""
    partition = Live(tmp_path, uri)
    partition.process(records([event(1, 0)]))
    partition.idle(1)
    assert partition.store.sequences([b"user-1"]) != [None]
    partition.sequences_log.append([(b"user-1", None)])
    partition.crash()
    assert partition.store.sequences([b"user-1"]) == [None]


def test_a_shopper_who_asked_to_be_forgotten_is_gone_from_store_and_changelogs(
    tmp_path: Path, uri: str
) -> None:
    """T15: and does not come back with a store that is built anew; what comes later begins from nothing."""
    consent = {"event_type": "consent", "properties": {"channel": "push", "granted": "false"}}
    partition = Live(tmp_path / "kept", uri)
    partition.process(records([event(1, 0), event(1, 1, **consent), event(2, 2)]))
    partition.idle(3)
    kept = (partition.store.sequences([b"user-1"]), partition.store.contacts(["user-1"]))
    assert [None] not in kept
    partition.process(records([event(1, 3, event_type="erasure")], first=3))
    partition.idle(4)
    for folder in ("kept", "built anew"):
        partition.folder = tmp_path / folder
        partition.crash()
        assert partition.store.sequences([b"user-1"]) == partition.store.contacts(["user-1"]) == [None]
        assert partition.store.sequences([b"user-2"]) != [None]
    for log in (partition.sequences_log, partition.contacts_log):
        log.compact()
        assert (b"user-1", None) in log.records.values()
    partition.process(records([event(1, 4)], first=4))
    assert partition.row(1)["meta"]["context"]["events"] == 1
