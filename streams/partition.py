"""The life of one source partition in this worker: open, redo, live, closed.

Opening, in this order (a zombie's last commit could be missed in any other):
1. claim the partition: what its last owner left open is ended, the committed offset is read, the claim is committed;
2. read both changelogs on into the local store;
3. seek the source to the redo offset of the last checkpoint; events below the committed offset build state only.

Then it takes part in the worker's turns (turns.py), which take from here what waits.
A store that turns out to be damaged, and a pass that raises, both mean: open again. The log has everything.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from aiokafka.structs import TopicPartition
from faust.types import TP

from schemas.settings import Settings
from streams import metrics
from streams.careful import Careful, Suspect
from streams.following import Following
from streams.offsets import Offsets
from streams.opening import build, contacts_changed, read_changelogs, whole
from streams.progress import Progress
from streams.shoppers import Shoppers, Work
from streams.stages import Codecs
from streams.store import Store
from streams.transaction import Publisher
from streams.transport import Batch, BatchConsumer
from streams.turns import Turns

log = logging.getLogger("intentflow.partition")
WAITING_BATCHES = 2  # full ones that may wait: they keep the compute thread busy, and memory is bounded


class Partition:
    """Everything this worker holds for one partition of behavior-events.

    open_store: opens its store, in the compute thread; rows: slots of the matrix.
    """

    def __init__(
        self,
        settings: Settings,
        tp: TP,
        consumer: BatchConsumer,
        following: Following,
        codecs: Codecs,
        compute: Executor,
        turns: Turns,
        publisher: Publisher,
        open_store: Callable[[int], Store],
        rows: int,
    ) -> None:
        self.tp, self.source = tp, TopicPartition(tp.topic, tp.partition)
        self.progress = Progress()
        self.careful = Careful()
        self.quiet_since = time.monotonic()  # when records were taken last
        self._settings, self._consumer, self._following = settings, consumer, following
        self._codecs, self._compute = codecs, compute
        self._turns, self._publisher = turns, publisher
        self._open_store, self._rows_size = open_store, rows
        self._queue: deque[list[Any]] = deque()
        self.waiting = 0  # records in the queue
        self._opening = 0  # batches of other openings are not ours
        self._given = 0  # number of the last batch given, of this opening
        self._next = 0  # next offset to be given
        self._taken = 0  # next offset to take
        self._task: asyncio.Task[None] | None = None
        self._shoppers: Shoppers | None = None
        self.store: Store | None = None
        self._answers = (0, 0)  # the broker's latest to fetches, as `clock` saw them, ms; the older one first
        self._claimed: int | None = None  # next offset to publish, when it was claimed
        self._stopping = False

    def start(self) -> None:
        """Open, or go on after `park` where it was left."""
        rested = self.failure is None and self.progress.state in ("redo", "live")
        self._begin(rested)

    def give(self, batch: Batch) -> None:
        """A batch of raw records from the transport; it waits for a turn."""
        if batch.opening != self._opening:
            return  # fetched before the partition was opened again, which reads it once more
        if batch.number != self._given + 1:
            self._read_again()
            return
        self._given, self._next = batch.number, batch.records[-1].offset + 1
        self._queue.append(batch.records)
        self.waiting += len(batch.records)
        if self.waiting >= WAITING_BATCHES * self._settings.batch_records:
            self._consumer.hold(self.tp, True)

    def check(self) -> None:
        """After a quiet time: whether everything fetched has come."""
        if self._opening and self._consumer.fetched(self.tp)[1] != self._given:
            self._read_again()

    def take(self, most: int) -> list[Any]:
        """Records that wait, in their order; at most `most`."""
        taken: list[Any] = []
        while self._queue and len(taken) < most:
            records, room = self._queue.popleft(), most - len(taken)
            if len(records) > room:
                self._queue.appendleft(records[room:])
                records = records[:room]
            taken = [*taken, *records] if taken else records
        self.waiting -= len(taken)
        if self.waiting < WAITING_BATCHES * self._settings.batch_records:
            self._consumer.hold(self.tp, False)
        if taken:
            self._taken, self.quiet_since = taken[-1].offset + 1, time.monotonic()
        return taken

    async def park(self) -> None:
        """Finish and commit what is in work, and rest with all state, as in a rebalance."""
        self._stopping, self._opening = True, 0
        self._consumer.close_partition(self.tp)
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._turns.remove(self)
        self._queue.clear()
        self.waiting = 0

    async def stop(self) -> None:
        """Park, and give everything back."""
        await self.park()
        await self._leave()
        self.progress.state = "closed"

    def reopen(self, why: str, suspect: Suspect | None = None, destroy: bool = False) -> None:
        """Forget all state, with `destroy` the files as well, and build it anew. Nothing of it may be in work."""
        metrics.REOPENED.labels(why).inc()
        if suspect is not None:
            self.careful.expect(suspect)
        self._begin(False, destroy)

    def spoil(self) -> None:
        """What it holds in memory is no longer right: its next start builds it anew."""
        self.progress.state = "opening"

    @property
    def failure(self) -> BaseException | None:
        """What ended its opening, or the worker's turns; None while all is well."""
        task = self._task
        if task is not None and task.done() and not task.cancelled() and task.exception() is not None:
            return task.exception()
        return self._turns.failure

    @property
    def shoppers(self) -> Shoppers:
        """Of an open partition."""
        assert self._shoppers is not None
        return self._shoppers

    @property
    def held(self) -> int | None:
        """Next source offset to commit, of a partition that rests; None when it was never claimed."""
        return None if self._claimed is None else max(self._claimed, self.progress.applied)

    def mark(self) -> tuple[int, ...]:
        """Changes whenever the partition gets on: what the watchdog looks at."""
        return (self.progress.read, self.progress.applied, *self._consumer.fetched(self.tp))

    def behind(self, end: int) -> bool:
        """Whether there is something to do; end: the source partition's next offset, as the broker tells it."""
        if not self._following.has_model.is_set():
            return False  # it waits for a first release, which may take as long as it likes
        return self.progress.state == "opening" or self._end_fetched() < end

    def idle(self) -> int:
        """No records for a while: the offset up to which everything was taken, though it may not be committed yet."""
        self.progress.passed(self._end_fetched())
        self.quiet_since = time.monotonic()
        return max(self.progress.applied, self._taken)

    def clock(self) -> int:
        """How far an idle partition's timers may ring, ms: the clock on the wall, unless events wait at the broker.

        A process that was frozen knows ends from before, also by an answer that waited for it all the time. So time goes
        only as far as the answer before the latest: the latest was asked for after it, and says that nothing had come.
        """
        if self._settings.timer_clock == "events":
            return 0
        try:
            answered = self._consumer.answered(self.tp)
            end = self._consumer.highwater(self.tp)  # after `answered`: of this answer, or of a later one
        except AssertionError:  # the client has lost the partition meanwhile
            return 0
        if answered is None or end is None:  # none since it was assigned
            return 0
        if answered != self._answers[1]:
            self._answers = (self._answers[1], answered)
        return self._answers[0] if self._end_fetched() >= end else 0

    def committed(self, work: Work) -> None:
        """What a pass made of it is committed, if it had to be."""
        if self.progress.state == "redo":
            metrics.REDONE.labels(str(self.tp.partition)).inc(work.events)
            self.progress.tell(self.tp.partition)
        self.progress.applied_to(work.next_offset)
        number = str(self.tp.partition)
        highwater = self._consumer.highwater(self.tp) or 0
        metrics.LAG.labels(number).set(max(0, highwater - self._end_fetched()))
        metrics.HOT_ROWS.labels(number).set(len(self.shoppers.rows))

    def _end_fetched(self) -> int:
        """Next source offset with nothing before it still to be applied or on its way here."""
        position, last_batch = self._consumer.fetched(self.tp)
        return position if not self.waiting and self._given == last_batch else self.progress.applied

    def _begin(self, rested: bool, destroy: bool = False) -> None:
        self._stopping = False
        self._task = asyncio.create_task(self._open(rested, destroy), name=f"partition-{self.tp.partition}")

    async def _open(self, rested: bool, destroy: bool) -> None:
        await self._following.has_model.wait()
        await self._following.caught_up.wait()  # with the policy: events before it would stay undecided
        if not (rested and await self._go_on()):
            await self._leave(destroy)
            await self._build()
        self.quiet_since = time.monotonic()
        self._turns.add(self)

    async def _go_on(self) -> bool:
        """After a rest: whether nobody else had the partition meanwhile; then everything still holds."""
        if await self._claim() != self.progress.position:
            return False
        # Another owner's timers ring with no event that would move the offset.
        store, number = self.store, self.tp.partition
        if store is None or await contacts_changed(self._settings, store, number, lambda: self._stopping):
            return False
        await self._read_from(self.progress.applied)
        return True

    async def _leave(self, destroy: bool = False) -> None:
        """Forget all state."""
        self.progress.state = "opening"
        self._consumer.close_partition(self.tp)
        self._opening, self.waiting, self._taken = 0, 0, 0
        self._queue.clear()
        store, self.store = self.store, None
        if store is not None:
            await self._in_compute(store.destroy if destroy else store.close)

    async def _build(self) -> None:
        settings, number = self._settings, self.tp.partition
        store = self.store = await self._in_compute(self._open_store, number)
        live_from = await self._claim()
        read = await read_changelogs(settings, store, number, self.progress, lambda: self._stopping)
        checkpoint = store.checkpoint()
        begin = await self._offsets().redo_from(None if checkpoint is None else checkpoint.redo, live_from)
        model = self._following.model
        assert model is not None
        self._shoppers = build(
            settings, number, model, self._codecs, store, self._rows_size, live_from, begin
        )
        await self._read_from(begin)
        self.progress.opened(begin, live_from)
        log.warning(
            "partition %d open: %d changelog records read, redo from %d, live from %d",
            number,
            read,
            begin,
            live_from,
        )

    def _read_again(self) -> None:
        """A batch was lost on its way here: go back to what has to come next."""
        log.warning(
            "partition %d: a batch did not arrive, reading again from %d", self.tp.partition, self._next
        )
        metrics.REOPENED.labels("batch_lost").inc()
        self._opening = 0
        self._task = asyncio.create_task(self._read_from(self._next), name=f"partition-{self.tp.partition}")

    async def _read_from(self, offset: int) -> None:
        self._given, self._next = 0, offset
        self._opening = await self._consumer.open_partition(self.tp, offset)

    async def _claim(self) -> int:
        async def claim() -> int:
            self._claimed = await self._publisher.claim(self.source, self._offsets())
            return self._claimed

        return await whole(claim())

    def _offsets(self) -> Offsets:
        return Offsets(self._settings, self.tp)

    async def _in_compute(self, function: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._compute, function, *arguments)
