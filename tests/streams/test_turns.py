"""Turns over several partitions: one commit for all of them, and what happens to all when one fails."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

from schemas.settings import Settings
from streams import turns
from streams.partition import Partition
from streams.passing import Pass
from streams.store import Store, StoreDamaged, StoreProblem
from streams.transport import Batch
from tests.streams.kafkaless import BATCH, Desk, Reader, Stage, until
from tests.streams.live import event, records, release

EVENTS = 200
USERS = 12


@pytest.fixture
def stage(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    often = settings.model_copy(update={"checkpoint_interval_s": 0.01})
    return Stage(often, release(tmp_path / "releases"), monkeypatch)


def log_of(number: int, events: int = EVENTS) -> list[Any]:
    made = records([event(number * USERS + at % USERS, at) for at in range(events)])
    for record in made:
        record.partition = number
    return made


def ids(number: int) -> list[str]:
    return [event(number * USERS + at % USERS, at)["event_id"] for at in range(EVENTS)]


def to_the_end(desk: Desk, count: int) -> Any:
    async def script(partition: Partition) -> None:
        done: dict[int, int] = {}

        def everything() -> bool:
            for commit in desk.commits:
                done.update(commit)
            return len(done) == count and set(done.values()) == {EVENTS}

        await until(everything, partition)

    return script


def test_partitions_share_commits_and_every_event_is_scored_once_in_its_partitions_order(
    stage: Stage,
) -> None:
    rng, desk = random.Random(1), Desk(0.02)
    readers = [Reader(log_of(number), desk, lambda: rng.randrange(1, 40)) for number in range(3)]
    stage.run(readers, desk, to_the_end(desk, 3))
    assert any(len(commit) > 1 for commit in desk.commits)
    scored = desk.event_ids()
    for number in range(3):
        mine = set(ids(number))
        assert [found for found in scored if found in mine] == ids(number)
    assert len(scored) == 3 * EVENTS


def test_a_turn_takes_no_more_than_a_batch_and_leaves_no_partition_waiting(stage: Stage) -> None:
    desk = Desk(0.01)
    readers = [Reader(log_of(number), desk, lambda: 150) for number in range(2)]
    stage.run(readers, desk, to_the_end(desk, 2))
    assert max(len(outputs.get("predictions", [])) for outputs in desk.outputs) <= BATCH
    early = [number for commit in desk.commits[:3] for number in commit]
    assert set(early) == {0, 1}


@pytest.mark.parametrize("lost", [2, 5])
def test_a_batch_that_is_dropped_on_its_way_is_read_again(
    lost: int, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faust drops what it has in its hands when a rebalance begins, and says so to nobody; the last batch (5) as well."""
    monkeypatch.setattr(turns, "IDLE_S", 0.05)
    desk, give = Desk(), Partition.give

    def losing(self: Partition, batch: Batch) -> None:
        if (batch.opening, batch.number) != (1, lost):
            give(self, batch)

    monkeypatch.setattr(Partition, "give", losing)
    stage.run(Reader(log_of(0), desk, lambda: 40), desk, to_the_end(desk, 1))
    assert desk.event_ids() == ids(0)


def test_offsets_never_go_back_when_a_quiet_partition_waits_for_a_commit_that_takes_long(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its idle turn comes while its last records are still being committed."""
    monkeypatch.setattr(turns, "IDLE_S", 0.002)
    desk, sizes = Desk(0.05), iter([20])
    quiet = Reader(log_of(0), desk, lambda: next(sizes, 1))
    stage.run(
        [quiet, *(Reader(log_of(number), desk, lambda: 30) for number in (1, 2))], desk, to_the_end(desk, 3)
    )
    for number in range(3):
        offsets = [commit[number] for commit in desk.commits if number in commit]
        assert offsets == sorted(offsets)
    assert len(desk.event_ids()) == len(set(desk.event_ids())) == 3 * EVENTS


def test_a_record_that_raises_costs_no_partition_of_its_turn_anything_but_itself(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, process = Desk(), Pass.process
    poisoned = log_of(1)[77]

    def raising(self: Any, shares: Any, *arguments: Any) -> Any:
        if any(record.value == poisoned.value for _, found in shares for record in found):
            raise ZeroDivisionError("the pass cannot do this one")
        return process(self, shares, *arguments)

    monkeypatch.setattr(Pass, "process", raising)
    readers = [Reader(log_of(number), desk, lambda: 20) for number in range(3)]
    stage.run(readers, desk, to_the_end(desk, 3))
    (letter,) = desk.rows("dead-letters", "dead_letter")
    assert (letter["partition"], letter["offset"], letter["reason"]) == (1, 77, "poisoned")
    wanted = [name for number in range(3) for at, name in enumerate(ids(number)) if (number, at) != (1, 77)]
    assert sorted(desk.event_ids()) == sorted(wanted)


@pytest.mark.parametrize("method", ["write", "sequences"])
def test_a_store_that_turns_out_damaged_is_built_anew_and_the_others_go_on(
    method: str, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, original, broken = Desk(), getattr(Store, method), []

    def breaking(self: Store, *arguments: Any) -> Any:
        if self.folder.name == "1" and not broken and len(desk.commits) > 3:
            broken.append(self.folder)
            raise StoreDamaged("bad block", self.folder)
        return original(self, *arguments)

    monkeypatch.setattr(Store, method, breaking)
    readers = [Reader(log_of(number), desk, lambda: 20) for number in range(2)]
    if method == "sequences":  # rows are read when somebody new comes
        readers[1] = Reader(
            log_of(1)[:100] + records([event(900 + at, at) for at in range(100)], 100), desk, lambda: 20
        )
        for record in readers[1]._log:
            record.partition = 1
    stage.run(readers, desk, to_the_end(desk, 2))
    assert broken
    scored = desk.event_ids()
    assert len(scored) == len(set(scored)) == 2 * EVENTS


def test_a_store_that_cannot_be_written_leaves_the_partitions_where_their_commits_are(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit goes through while the store of the one before fails: what is released must not go back behind it."""
    desk, write = Desk(0.01), Store.write

    def failing(self: Store, *arguments: Any) -> None:
        done = len(desk.commits)
        if done:
            end = time.monotonic() + 2.0
            while len(desk.commits) == done and time.monotonic() < end:
                time.sleep(0.001)  # the next commit goes through meanwhile
            raise StoreProblem("No space left on device")
        write(self, *arguments)

    monkeypatch.setattr(Store, "write", failing)

    async def until_it_fails(partition: Partition) -> None:
        await until(lambda: partition.failure is not None)
        assert isinstance(partition.failure, StoreProblem)
        assert partition.held == desk.committed

    stage.run(Reader(log_of(0, 25), desk), desk, until_it_fails)


@pytest.mark.parametrize("written", [False, True], ids=["nobody wrote", "another owner's timers rang"])
def test_after_a_rest_it_goes_on_only_when_nobody_wrote_contacts_meanwhile(
    written: bool, stage: Stage
) -> None:
    """Timers that ring by the clock write contacts and move no offset of the source."""
    desk = Desk()
    done = to_the_end(desk, 1)

    async def rest(partition: Partition) -> None:
        await done(partition)
        await partition.park()
        before, desk.written_by_another = partition.shoppers, written
        claims = desk.claims
        partition.start()
        await until(lambda: desk.claims > claims + written and partition.progress.state == "live", partition)
        assert (partition.shoppers is before) is not written

    stage.run(Reader(log_of(0), desk), desk, rest)


def test_after_it_was_frozen_time_goes_on_only_with_what_the_broker_says_since(stage: Stage) -> None:
    """SIGSTOP: the ends that the client knows, and an answer that waited for it, are from before."""
    desk = Desk()
    reader, done = Reader(log_of(0), desk), to_the_end(desk, 1)
    told = []

    async def freeze(partition: Partition) -> None:
        await done(partition)
        for answer, end in (
            (None, None),
            (1_000, EVENTS),
            (2_000, EVENTS),
            (2_000, EVENTS),  # frozen, and woken
            (900_000, EVENTS),  # what the broker had answered before
            (900_010, EVENTS + 5),  # what came meanwhile
            (900_500, EVENTS),  # it is read
        ):
            reader.answer, reader.end = answer, end
            told.append(partition.clock())

    stage.run(reader, desk, freeze)
    assert told == [0, 0, 1_000, 1_000, 2_000, 0, 900_010]
