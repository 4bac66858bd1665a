"""The life of one source partition in this worker: open, redo, go live, close.

Opening, in this order (a zombie's last commit could be missed in any other):
1. start the producer: whoever held the partition before is fenced and its open transaction ended;
2. read the committed source offset;
3. read both changelogs on into the local store;
4. seek the source to the redo offset of the last checkpoint; events below the committed offset build state only.

Then batches: the pass in the compute thread, record batches and RocksDB writes in the packing thread, the transaction on
the event loop. While one partition commits, another computes.
A store that turns out to be damaged, and a batch that raises, both mean: open again. The log has everything.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from aiokafka.structs import TopicPartition
from faust.types import TP

from schemas.settings import Settings
from schemas.topics import Topics
from streams import metrics
from streams.careful import NOT_THE_RECORDS, Careful, Suspect
from streams.following import Following
from streams.offsets import Offsets
from streams.opening import build, read_changelogs
from streams.progress import Progress
from streams.shoppers import Shoppers, Work
from streams.stages import Codecs
from streams.store import Store, StoreDamaged
from streams.transaction import Outputs, Publisher
from streams.transport import Batch, BatchConsumer

log = logging.getLogger("intentflow.partition")
WAITING_BATCHES = 2  # full ones that may wait: they keep the compute thread busy, and memory is bounded
IDLE_S = 1.0


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
        packing: Executor,
        open_store: Callable[[int], Store],
        rows: int,
    ) -> None:
        self.tp = tp
        self.progress = Progress()
        self._settings, self._consumer, self._following = settings, consumer, following
        self._codecs, self._compute, self._packing = codecs, compute, packing
        self._open_store, self._rows_size = open_store, rows
        self._topics = Topics(settings)
        self._queue: asyncio.Queue[list[Any]] = asyncio.Queue()
        self._waiting = 0  # records in the queue
        self._opening = 0  # batches of other openings are not ours
        self._given = 0  # number of the last batch given
        self._publisher = Publisher(settings, TopicPartition(tp.topic, tp.partition), consumer.commit_offset)
        self._careful = Careful(self._in_compute, self._settle)
        self._task: asyncio.Task[None] | None = None
        self._shoppers: Shoppers | None = None
        self._store: Store | None = None
        self._stopping = False
        self._written: dict[str, float] = {}

    def start(self) -> None:
        """Open, or go on after `park` where it was left."""
        rested = self.failure is None and self.progress.state in ("redo", "live")
        self._stopping = False
        self._task = asyncio.create_task(self._run(rested), name=f"partition-{self.tp.partition}")

    async def give(self, batch: Batch) -> None:
        """A batch of raw records from the transport."""
        self._given = batch.number
        if batch.opening != self._opening:
            return  # fetched before the partition was opened again, which reads it once more
        self._queue.put_nowait(batch.records)
        self._waiting += len(batch.records)
        if self._waiting >= WAITING_BATCHES * self._settings.batch_records:
            self._consumer.hold(self.tp, True)

    async def park(self) -> None:
        """Finish the batch in work, commit it, and rest with all state, as in a rebalance."""
        self._stopping, self._opening = True, 0
        self._consumer.close_partition(self.tp)
        if self._task is not None and not self._task.done():
            if self.progress.state == "opening":
                self._task.cancel()
            self._queue.put_nowait([])  # wakes a turn that waits for records
            await asyncio.wait([self._task])

    async def stop(self) -> None:
        """Park, and give everything back."""
        await self.park()
        await self._leave()
        await self._publisher.stop()
        self.progress.state = "closed"

    @property
    def failure(self) -> BaseException | None:
        """What ended the partition's task, None while it runs or when it was told to stop."""
        if self._task is None or not self._task.done() or self._task.cancelled():
            return None
        return self._task.exception()

    def mark(self) -> tuple[int, ...]:
        """Changes whenever the partition gets on: what the watchdog looks at."""
        return (self.progress.read, self.progress.applied, *self._consumer.fetched(self.tp))

    def behind(self, end: int) -> bool:
        """Whether there is something to do; end: the source partition's next offset, as the broker tells it."""
        if not self._following.has_model.is_set():
            return False  # it waits for a first release, which may take as long as it likes
        return self.progress.state == "opening" or self._end_fetched() < end

    def _end_fetched(self) -> int:
        """Next source offset with nothing before it still to be applied or on its way here."""
        position, last_batch = self._consumer.fetched(self.tp)
        return position if not self._waiting and self._given == last_batch else self.progress.applied

    async def _run(self, rested: bool) -> None:
        await self._following.has_model.wait()
        await self._following.caught_up.wait()  # with the policy: events before it would stay undecided
        if not (rested and await self._go_on()):
            await self._leave()
            await self._publisher.stop()
            await self._publisher.start()
        while not self._stopping:
            await self._serve()

    async def _go_on(self) -> bool:
        """After a rest: whether nobody else had the partition meanwhile; then everything still holds."""
        if await Offsets(self._settings, self.tp).live_from() != self.progress.position:
            return False
        self._queue, self._waiting = asyncio.Queue(), 0
        self._opening = await self._consumer.open_partition(self.tp, self.progress.applied)
        return True

    async def _serve(self) -> None:
        """Open if need be, and go on until told to stop or until state has to be built anew."""
        try:
            if self._store is None:
                await self._open()
            while not self._stopping:
                await self._turn()
        except StoreDamaged as damage:
            metrics.REOPENED.labels("store_damaged").inc()
            log.error("%s: deleted, it is rebuilt from the changelogs", damage)
            await self._leave(destroy=True)
        except Suspect as suspect:
            metrics.REOPENED.labels("batch_raised").inc()
            log.error("%s; opened again to find the record", suspect, exc_info=suspect.__cause__)
            self._careful.expect(suspect)
            await self._leave()

    async def _leave(self, destroy: bool = False) -> None:
        """Forget all state."""
        self.progress.state = "opening"
        self._consumer.close_partition(self.tp)
        self._opening, self._queue, self._waiting, self._written = 0, asyncio.Queue(), 0, {}
        store, self._store = self._store, None
        if store is not None:
            await self._in_compute(store.destroy if destroy else store.close)

    async def _open(self) -> None:
        settings, number = self._settings, self.tp.partition
        store = self._store = await self._in_compute(self._open_store, number)
        offsets = Offsets(settings, self.tp)
        live_from = await offsets.live_from()
        read = await read_changelogs(settings, store, number, self.progress, lambda: self._stopping)
        checkpoint = store.checkpoint()
        begin = await offsets.redo_from(None if checkpoint is None else checkpoint.redo, live_from)
        model = self._following.model
        assert model is not None
        self._shoppers = build(settings, model, self._codecs, store, self._rows_size, live_from, begin)
        self._opening = await self._consumer.open_partition(self.tp, begin)
        self.progress.opened(begin, live_from)
        log.warning(
            "partition %d open: %d changelog records read, redo from %d, live from %d",
            number,
            read,
            begin,
            live_from,
        )

    async def _turn(self) -> None:
        """One batch: wait, compute, commit, settle."""
        shoppers = self._shoppers
        assert shoppers is not None
        model, policy = self._following.model, self._following.policy
        assert model is not None
        shoppers.use(model, policy)
        metrics.release_in_use(model.engine.release_id)
        try:
            records = await asyncio.wait_for(self._take(), IDLE_S)
        except TimeoutError:
            self.progress.passed(self._end_fetched())
            await self._settle(await self._in_compute(shoppers.idle, self.progress.applied))
            return
        if not records:
            return
        if self._careful.wanted(records):
            await self._careful.process(shoppers, records)
            return
        try:
            work = await self._in_compute(shoppers.process, records)
        except NOT_THE_RECORDS:
            raise
        except Exception as fault:
            raise Suspect(records[0].offset, records[-1].offset) from fault
        await self._settle(work)

    async def _take(self) -> list[Any]:
        """What is waiting, as one batch: while a transaction is under way small fetches add up."""
        records = await self._queue.get()
        while not self._queue.empty() and len(records) < self._settings.batch_records:
            records = [*records, *self._queue.get_nowait()]
        self._waiting -= len(records)
        if self._waiting < WAITING_BATCHES * self._settings.batch_records and not self._stopping:
            self._consumer.hold(self.tp, False)
        return records

    async def _settle(self, work: Work) -> None:
        """Commit what a batch produced, and book it."""
        shoppers, redo = self._shoppers, self.progress.state == "redo"
        assert shoppers is not None
        if work.live:
            await self._commit(shoppers, work)
        self.progress.applied_to(work.next_offset)
        if redo:
            metrics.REDONE.labels(str(self.tp.partition)).inc(work.events)
            self.progress.tell(self.tp.partition)
        self._gauge(shoppers, work)

    async def _commit(self, shoppers: Shoppers, work: Work) -> None:
        begun = time.monotonic()
        outputs = await self._in_thread(self._packing, self._outputs, work)
        last = await self._publisher.publish(outputs, max(shoppers.live_from, work.next_offset))
        names = {self._topics.sequences_changelog: "sequences", self._topics.contacts_changelog: "contacts"}
        done = {name: last[topic] for topic, name in names.items() if topic in last}
        await self._in_thread(self._packing, shoppers.settle, work, done)
        metrics.COMMIT.inc(time.monotonic() - begun)
        if work.next_offset > shoppers.live_from:
            metrics.count(work, self.tp.partition)

    def _outputs(self, work: Work) -> Outputs:
        by_topic = {self._topics.of_schema(name): records for name, records in work.records.items()}
        by_topic[self._topics.sequences_changelog] = work.sequences_log()
        by_topic[self._topics.contacts_changelog] = list(work.contacts.items())
        return {
            topic: self._publisher.build(records, topic) for topic, records in by_topic.items() if records
        }

    def _gauge(self, shoppers: Shoppers, work: Work) -> None:
        number = str(self.tp.partition)
        highwater = self._consumer.highwater(self.tp) or 0
        metrics.LAG.labels(number).set(max(0, highwater - self._end_fetched()))
        metrics.HOT_ROWS.labels(number).set(len(shoppers.rows))
        for stage, seconds in shoppers.stages.seconds.items():
            metrics.STAGE.labels(stage).inc(seconds - self._written.get(stage, 0.0))
            self._written[stage] = seconds

    async def _in_compute(self, function: Any, *arguments: Any) -> Any:
        return await self._in_thread(self._compute, function, *arguments)

    async def _in_thread(self, thread: Executor, function: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(thread, function, *arguments)
