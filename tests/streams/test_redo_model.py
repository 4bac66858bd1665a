"""A model test of checkpoint and redo: whatever harm falls between which steps, state and outputs are those of a calm run.

The model is the log. Hypothesis appends events to it (ordinary, late, double, bad, consent, erasure), lets a partition with six
rows in memory take some of them, moves the clock so that checkpoints go out in shares, and does harm: crashes before
the commit, between commit and local write, in redo, while a changelog is read; a store that is gone, or from an
earlier moment; a compacted changelog; another release; a challenger that comes and goes. After every step each event below
the committed offset is published exactly once, and after every catch-up rows and contacts equal those computed from the log
alone.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.streams import redo
from tests.streams.live import Partition, event, model, records, release

USERS = 12
ROWS = 6  # in memory: most batches have to evict
INTERVAL = 10.0  # seconds from one checkpoint to the next
MINUTE = 60_000
SHM = Path("/dev/shm")  # a disk in memory, where there is one: stores are opened by the hundred

BATCH = st.integers(1, ROWS)
USER = st.integers(0, USERS - 1)
EVENT = st.one_of(
    st.tuples(st.just("ordinary"), USER),
    st.tuples(st.just("late"), USER, st.integers(1, 60)),
    st.tuples(st.just("double"), st.integers(1, 15)),
    st.tuples(st.just("consent"), USER, st.sampled_from(["all", "coupon", "push"]), st.booleans()),
    st.tuples(st.just("erasure"), USER),
    st.tuples(st.just("garbage"), USER),
    st.tuples(st.just("tombstone"), USER),
)


class RedoModel(RuleBasedStateMachine):
    """`hurt` is the partition under test, `calm` takes the same log record by record and is left in peace."""

    uris: tuple[str, str, str]  # the third challenges the others

    @initialize()
    def begin(self) -> None:
        self._temporary = tempfile.TemporaryDirectory(dir=SHM if SHM.is_dir() else None)
        self.folder = Path(self._temporary.name)
        self.now, self.minute, self.position, self.swapped = 0.0, 0, 0, False
        self.rows: list[dict[str, Any]] = []
        self.log: list[Any] = []
        self.earlier: list[Path] = []
        policy = redo.policy(model(self.uris[0]).engine.tasks)
        self.hurt = Partition(
            self.folder / "hurt", self.uris[0], ROWS, policy, INTERVAL, clock=lambda: self.now
        )
        self.calm = Partition(self.folder / "calm", self.uris[0], policy=policy)
        self.alone = [Partition(self.folder / f"alone-{at}", uri) for at, uri in enumerate(self.uris[:2])]
        self.published, self.expected = redo.Outputs(self.hurt), redo.Outputs(self.calm)
        self.due = [self.expected.counts()]  # what is to be published once so many records are committed

    @rule(events=st.lists(EVENT, min_size=3, max_size=12))
    def append(self, events: list[tuple[Any, ...]]) -> None:
        for drawn in events:
            self.minute += 7
            record = self._record(*drawn)
            self.log.append(record)
            self.calm.process([record])
            self.expected.read_on()
            self.due.append(self.expected.counts())

    @precondition(lambda self: self.position < len(self.log))
    @rule(size=BATCH, seconds=st.integers(0, 6))
    def batch(self, size: int, seconds: int) -> None:
        self.now += seconds
        self.hurt.process(self._take(size))

    @rule()
    def idle(self) -> None:
        self.hurt.idle(self.position)

    @rule(seconds=st.integers(1, 12))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule(to=st.integers(0, 1))
    def swap_release(self, to: int) -> None:
        self.swapped |= to == 1
        self.hurt.use(self.uris[to])

    @rule(on=st.booleans())
    def challenge(self, on: bool) -> None:
        self.hurt.challenge(self.uris[2] if on else None)

    @rule()
    def compact(self) -> None:
        self.hurt.sequences_log.compact()
        self.hurt.contacts_log.compact()

    @precondition(lambda self: self.position < len(self.log))
    @rule(size=BATCH)
    def crash_before_the_commit(self, size: int) -> None:
        self.hurt.compute(self._take(size))
        self.position = self.hurt.crash()

    @precondition(lambda self: self.position + 1 < len(self.log))
    @rule(size=st.integers(1, 3), seconds=st.integers(0, 6), crash=st.booleans(), local_write=st.booleans())
    def batch_that_computes_while_the_one_before_is_committed(
        self, size: int, seconds: int, crash: bool, local_write: bool
    ) -> None:
        first = self.hurt.compute(self._take(min(size, len(self.log) - self.position - 1)))
        self.now += seconds
        second = self.hurt.compute(self._take(ROWS))
        self.hurt.finish(first, local_write or not crash)
        if crash:
            self.position = self.hurt.crash()
        else:
            self.hurt.finish(second)

    @precondition(lambda self: self.position < len(self.log))
    @rule(size=BATCH)
    def crash_between_commit_and_local_write(self, size: int) -> None:
        self.hurt.process(self._take(size), local_write=False)
        self.position = self.hurt.crash()

    @rule()
    def crash_and_keep_a_copy_of_the_store(self) -> None:
        self.hurt.store.close()
        self.earlier.append(self.folder / f"earlier-{len(self.earlier)}")
        shutil.copytree(self.hurt.folder, self.earlier[-1])
        self.position = self.hurt.open()

    @precondition(lambda self: bool(self.earlier))
    @rule(data=st.data())
    def crash_and_find_the_store_of_an_earlier_moment(self, data: st.DataObject) -> None:
        self.hurt.store.close()
        shutil.rmtree(self.hurt.folder)
        shutil.copytree(data.draw(st.sampled_from(self.earlier)), self.hurt.folder)
        self.position = self.hurt.open()

    @rule(read=st.integers(0, 5))
    def lose_the_store_and_crash_while_reading_changelogs(self, read: int) -> None:
        self.hurt.store.close()
        shutil.rmtree(self.hurt.folder)
        self.hurt.open_store()
        self.hurt.read_on(read)
        self.position = self.hurt.crash()

    @rule(size=BATCH)
    def catch_up(self, size: int) -> None:
        while self.position < len(self.log):
            self.hurt.process(self._take(size))
        self._check_state()

    @invariant()
    def each_committed_event_is_published_exactly_once(self) -> None:
        """So the committed offset never passes a record that is not done."""
        self.published.read_on()
        due = self.due[self.hurt.committed]
        for name in redo.SAME:
            assert self.published.essence(name) == self.expected.essence(name)[: due[name]], name
        if not self.swapped:
            mine, calm = (outputs.survival(due["prediction"]) for outputs in (self.published, self.expected))
            np.testing.assert_allclose(mine, calm, atol=redo.SCORES)

    @invariant()
    def a_challenger_says_one_thing_of_an_event_or_nothing(self) -> None:
        """And only of events that the champion was asked about: of one twice, when it came again after an erasure."""
        said = Counter(row["event_id"] for row in self.hurt.predictions("shadow_prediction"))
        assert said <= Counter(row["event_id"] for row in self.hurt.predictions())

    def teardown(self) -> None:
        try:
            self.catch_up(ROWS)
        finally:
            for partition in (self.hurt, self.calm, *self.alone):
                partition.store.close()
            self._temporary.cleanup()

    def _take(self, size: int) -> list[Any]:
        batch = self.log[self.position : self.position + size]
        self.position += len(batch)
        return batch

    def _record(self, kind: str, *drawn: Any) -> Any:
        """The next record of the log."""
        who = drawn[0]
        if kind == "double" and self.rows:
            row = self.rows[-min(who, len(self.rows))]
        elif kind == "consent":
            said = {"channel": drawn[1], "granted": str(drawn[2]).lower()}
            row = event(who, self.minute, event_type="consent", properties=said)
        elif kind == "erasure":
            row = event(who, self.minute, event_type="erasure")
        else:
            back = drawn[1] if kind == "late" else 0
            row = event(who, self.minute)
            row["event_time"] -= back * MINUTE
        (record,) = records([row], first=len(self.log))
        if kind in ("garbage", "tombstone"):
            record.value = b"\x00\x00\x00\x00\x01nonsense" if kind == "garbage" else None
        else:
            self.rows.append(row)
        return record

    def _check_state(self) -> None:
        users = range(USERS)
        assert redo.contacts(self.hurt, users) == redo.contacts(self.calm, users)
        if not self.log:
            return
        for partition in self.alone:
            partition.begin()
            partition.compute(self.log)  # in one go, and nothing of it is kept
        for user in users:
            by_release = {redo.hash_of(partition): partition.row(user) for partition in self.alone}
            redo.check_row(self.hurt.row(user), by_release, self.swapped)


@pytest.mark.timeout(900)  # hundreds of stores are opened; on a busy machine that takes minutes
def test_whatever_harm_falls_where_state_and_outputs_are_those_of_a_calm_run(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folders = [tmp_path_factory.mktemp("release") for _ in range(3)]
    RedoModel.uris = (release(folders[0]), release(folders[1], seed=3), release(folders[2], seed=5))
    run_state_machine_as_test(
        RedoModel,
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
