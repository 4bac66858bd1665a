"""The worker's beat: a pass over what waits in all its partitions, then one transaction for all of it, again and again.

    take ─► pass (compute thread) ─► record batches (packing thread) ─► transaction ─► stores (packing thread)

While there is little to do, a turn begins when the one before is committed: whatever comes meanwhile adds up, and small
turns do not pay the fixed cost of a transaction too often. With much to do, the next pass computes during the commit.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

from aiokafka.structs import TopicPartition

from schemas.settings import Settings
from schemas.topics import Topics
from streams import metrics
from streams.careful import NOT_THE_RECORDS, Suspect
from streams.challenger import in_shadow
from streams.following import Following
from streams.passing import Pass
from streams.shoppers import Work
from streams.store import StoreDamaged
from streams.transaction import Outputs, Publisher

if TYPE_CHECKING:
    from streams.partition import Partition

log = logging.getLogger("intentflow.turns")
IDLE_S = 1.0  # without records: then the checkpoint goes on
Share = tuple["Partition", list[Any]]  # records in offset order; none: it was quiet
Made = tuple["Partition", Work]


class Turns:
    """The partitions that are open, and the loop over them; `failure` is what ended it."""

    def __init__(
        self,
        settings: Settings,
        passing: Pass,
        following: Following,
        publisher: Publisher,
        compute: Executor,
        packing: Executor,
    ) -> None:
        self._settings, self._pass, self._following = settings, passing, following
        self._publisher, self._compute, self._packing = publisher, compute, packing
        self._topics = Topics(settings)
        self._open: dict[Partition, None] = {}  # whose turn it is comes first
        self._damaged: set[Partition] = set()
        self._woken = asyncio.Event()
        self._turn = asyncio.Lock()
        self._committing: asyncio.Task[None] | None = None
        self._settling: asyncio.Future[None] | None = None  # the stores of what was committed last
        self._task: asyncio.Task[None] | None = None
        self._booked: dict[str, float] = {}

    def add(self, partition: Partition) -> None:
        """It takes part from now on."""
        self._open[partition] = None
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="turns")
        self.wake()

    async def remove(self, partition: Partition) -> None:
        """It takes part no longer; returns when what was in work of it is committed and in its store, or failed."""
        self._open.pop(partition, None)
        async with self._turn:
            with contextlib.suppress(Exception):  # `failure` tells
                await self._settled()

    def wake(self) -> None:
        """Something may be due."""
        if self._is_due():
            self._woken.set()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    @property
    def failure(self) -> BaseException | None:
        for task in (self._committing, self._settling, self._task):
            if task is not None and task.done() and not task.cancelled() and task.exception() is not None:
                return task.exception()
        return None

    async def _run(self) -> None:
        while True:
            await self._due()
            async with self._turn:
                await self._next()

    async def _due(self) -> None:
        """Wait until there is something to do."""
        while not self._is_due():
            self._woken.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(IDLE_S):
                    await self._woken.wait()

    def _is_due(self) -> bool:
        """Much waits; or something does, and the turn before is committed."""
        waiting = sum(partition.waiting for partition in self._open)
        if 2 * waiting >= self._settings.batch_records:
            return True
        if self._committing is not None and not self._committing.done():
            return False
        return bool(waiting or self._damaged) or any(map(_is_quiet, self._open))

    async def _next(self) -> None:
        """One turn: of the pass it makes, the commit goes on when this returns."""
        for partition in list(self._damaged):
            await self._settled()
            self._give_back(partition, "store_damaged", destroy=True)
        shares = self._take()
        suspected = [share for share in shares if share[0].careful.wanted(share[1])]
        for share in suspected:
            await self._settled()
            await self._carefully(*share)
        rest = [share for share in shares if share not in suspected]
        if rest:
            works, outputs = await self._passed(rest)
            await self._committed()
            self._committing = asyncio.create_task(self._commit(works, outputs), name="commit")
            self._committing.add_done_callback(lambda _: self.wake())

    def _take(self) -> list[Share]:
        """What waits, `batch_records` in all at most, the partition first that has waited for longest; and those that
        had nothing for a while."""
        shares: list[Share] = []
        room = self._settings.batch_records
        for partition in list(self._open):
            if partition.waiting and room:
                records = partition.take(room)
                room -= len(records)
                shares.append((partition, records))
                del self._open[partition]
                self._open[partition] = None
            elif not partition.waiting and _is_quiet(partition):
                partition.check()
                shares.append((partition, []))
        return shares

    async def _passed(self, shares: list[Share]) -> tuple[list[Made], Outputs | None]:
        """The works of these partitions, with their record batches unless another commit is under way, which has to be
        through before they can be numbered. Nothing, when the pass raised: state in memory is lost, they open again."""
        alone = self._committing is None or self._committing.done()
        try:
            return await self._in(self._compute, self._work, shares, alone)  # type: ignore[no-any-return]
        except StoreDamaged as damage:
            await self._settled()
            log.error("%s: deleted, it is rebuilt from the changelogs", damage)
            for partition, _ in shares:
                own = partition.store is not None and partition.store.folder == damage.folder
                self._give_back(partition, "store_damaged", destroy=own)
        except NOT_THE_RECORDS:
            raise
        except Exception as fault:
            await self._settled()
            log.error("a pass raised; its partitions are opened again to find the record", exc_info=fault)
            for partition, records in shares:
                suspect = Suspect(records[0].offset, records[-1].offset) if records else None
                self._give_back(partition, "batch_raised", suspect)
        return [], None

    def _work(
        self, shares: list[Share], build: bool, undoable: bool = False
    ) -> tuple[list[Made], Outputs | None]:
        """In the compute thread."""
        model = self._following.model
        assert model is not None
        self._pass.use(model, self._following.policy, self._following.challenger)
        busy = [(partition, records) for partition, records in shares if records]
        works = self._pass.process([(p.shoppers, records) for p, records in busy], undoable) if busy else []
        made = [
            (partition, partition.shoppers.idle(partition.idle(), self._pass.policy, partition.clock()))
            for partition, none in shares
            if not none
        ]
        made += zip((partition for partition, _ in busy), works, strict=True)
        return made, self._outputs(made) if build else None

    async def _carefully(self, partition: Partition, records: list[Any]) -> None:
        """A share that holds a suspected record, piece by piece."""

        async def attempt(piece: list[Any]) -> Work:
            made, _ = await self._in(self._compute, self._work, [(partition, piece)], False, True)
            work: Work = made[0][1]
            return work

        async def poisoned(record: Any, fault: Exception) -> Work:
            made: Work = await self._in(self._compute, partition.shoppers.poisoned, record, fault)
            return made

        async def settle(work: Work) -> None:
            await self._commit([(partition, work)], None)
            await self._settled()
            if partition in self._damaged:
                raise StoreDamaged("a write failed")

        try:
            await partition.careful.process(records, attempt, poisoned, settle)
        except StoreDamaged as damage:
            log.error("%s: deleted, it is rebuilt from the changelogs", damage)
            self._give_back(partition, "store_damaged", destroy=True)

    def _give_back(
        self, partition: Partition, why: str, suspect: Suspect | None = None, destroy: bool = False
    ) -> None:
        """Its state is to be built anew; it comes back by `add`."""
        self._damaged.discard(partition)
        if self._open.pop(partition, self) is self:  # it was removed meanwhile
            partition.spoil()
        else:
            partition.reopen(why, suspect, destroy)

    async def _committed(self) -> None:
        """The commit under way is over. Raises what it failed of."""
        if self._committing is not None:
            await self._committing

    async def _settled(self) -> None:
        """The same, and the stores have it."""
        await self._committed()
        if self._settling is not None:
            await self._settling

    async def _commit(self, works: list[Made], outputs: Outputs | None) -> None:
        begun = time.monotonic()
        live = [(partition, work) for partition, work in works if work.live]
        if live:
            if outputs is None:
                outputs = await self._in(self._packing, self._outputs, works)
            offsets = {p.source: max(p.shoppers.live_from, work.next_offset) for p, work in live}
            last = await self._publisher.publish(outputs, offsets)
            metrics.count([(p.tp.partition, w) for p, w in live if w.next_offset > p.shoppers.live_from])
        # Before the stores are waited for: whatever fails from here on, this is where the partitions are.
        for partition, work in works:
            partition.committed(work)
        if live:
            if self._settling is not None:
                await self._settling
            self._settling = asyncio.ensure_future(self._in(self._packing, self._settle, live, last))
            metrics.COMMIT.inc(time.monotonic() - begun)
        self._tell_releases()
        for stage, seconds in dict(self._pass.stages.seconds).items():  # a copy: the pass may add a stage now
            metrics.STAGE.labels(stage).inc(seconds - self._booked.get(stage, 0.0))
            self._booked[stage] = seconds

    def _tell_releases(self) -> None:
        model, challenger = self._pass.model, self._pass.challenger
        if model is not None:
            metrics.release_in_use(model.engine.release_id)
        in_shadow(None if challenger is None or challenger.dropped else challenger.release)

    def _outputs(self, works: list[Made]) -> Outputs:
        outputs: Outputs = {}
        for partition, work in works:
            by_topic = {self._topics.of_schema(name): records for name, records in work.records.items()}
            by_topic[self._topics.sequences_changelog] = work.sequences_log()
            by_topic[self._topics.contacts_changelog] = list(work.contacts.items())
            for topic, records in by_topic.items():
                if records:
                    tp = TopicPartition(topic, partition.tp.partition)
                    outputs[tp] = self._publisher.build(records, tp)
        return outputs

    def _settle(self, live: list[Made], last: dict[TopicPartition, int]) -> None:
        names = {self._topics.sequences_changelog: "sequences", self._topics.contacts_changelog: "contacts"}
        for partition, work in live:
            number = partition.tp.partition
            done = {
                name: last[tp]
                for topic, name in names.items()
                if (tp := TopicPartition(topic, number)) in last
            }
            try:
                partition.shoppers.settle(work, done)
            except StoreDamaged as damage:
                log.error("%s: it will be deleted and rebuilt from the changelogs", damage)
                self._damaged.add(partition)

    async def _in(self, thread: Executor, function: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(thread, function, *arguments)


def _is_quiet(partition: Partition) -> bool:
    return not partition.waiting and time.monotonic() - partition.quiet_since >= IDLE_S
