"""The worker, on one page. Read this first.

    behavior-events ─► agent ─► partitions ─► turn: ┌ a pass over what waits in all of them, in the compute thread ┐
                                                    │ decode ► rows ► LSTM step ► heads ► decide ► checkpoint      │
                                                    └─► one transaction: predictions, decisions, interventions,    │
                                                        dead-letters, changelogs, offsets ◄────────────────────────┘
    model-releases, policies, bandits ─► Following ─► swapped in between two turns

    stage          file              what it does
    transport      transport.py      a Faust agent gets what a fetch brought, as batches of raw records
    turn           turns.py          takes what waits, has it passed, commits it
    pass           passing.py        the stages from decode to checkpoint over all partitions
    decode         decode.py         bytes to columns; what cannot be used goes to dead-letters
    rows           rows.py           shoppers' rows in memory, over store.py (RocksDB)
    step           sequences.py      one model step per event with carried state; rebuilds from the ring
    heads          scoring.py        scores of every head (models/engine*), and the predictions
    challenger     shadow.py         a second release, stepped beside the first into shadow-predictions, acted on by nobody
    look-ups       lookups.py        next items, only for the few events that a list may follow
    decide         decide.py         pure: a decision with its reason for every candidate
    checkpoint     checkpoint.py     which rows go to the changelog now, and from where a restart has to redo
    commit         transaction.py    outputs, changelogs and offsets together; record_batches.py: built in the packing thread
    recovery       partition.py      open (opening.py): claim, committed offset, changelog.py, redo, live
                   careful.py        a batch that raises
    standby        standby.py        warm copies of other workers' partitions; assignment.py gives them out
    liveness       watchdog.py       a partition that should get on and does not ends the worker; health.py tells

The event log is the write-ahead log: a row is written at checkpoints only and is redone from the events after them.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, cast

from aiokafka.errors import KafkaError
from faust.types import TP, StreamT

from schemas.registry import open_registry
from schemas.settings import Settings
from schemas.topics import Topics, identity
from streams.assignment import OWNED, WarmAssignor
from streams.following import Following
from streams.health import Health
from streams.opening import build_pass
from streams.partition import Partition
from streams.stages import Codecs
from streams.standby import Standbys
from streams.store import Store
from streams.transaction import Publisher
from streams.transport import BatchApp, BatchConsumer, Batches, RawBatches
from streams.turns import Turns
from streams.watchdog import Stuck, Watchdog

log = logging.getLogger("intentflow.worker")
WATCH_S = 0.5
RELEASE_S = 5.0  # of the 10 s that a worker may take to end
STANDBY_CACHE = 1 << 20  # bytes of block cache per warm copy: it is only written


def create_app(settings: Settings) -> BatchApp:
    """The Faust app of one worker process. Topics must exist: `schemas.topics.check` comes before."""
    app = BatchApp(
        settings,
        topic_disable_leader=True,
        topic_allow_declare=False,
        web_enabled=False,
        broker_request_timeout=90.0,
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=settings.session_timeout_s * 0.3,
        table_standby_replicas=0,
        stream_wait_empty=False,
    )
    source = app.topic(Topics(settings).behavior_events, schema=RawBatches(), internal=False)
    workers = Workers(app, settings)

    @app.agent(source, name="shoppers")
    async def shoppers(fetches: StreamT[Any]) -> None:
        """One Faust event = one fetch: a batch of each partition, handed to it. A turn's commit acknowledges."""
        async for event in fetches.events():
            workers.give(cast("Batches", event.value))

    @app.on_partitions_assigned.connect(weak=False)
    async def assigned(sender: Any, assigned: set[TP], **kwargs: Any) -> None:
        await workers.assign(assigned)

    @app.on_partitions_revoked.connect(weak=False)
    async def revoked(sender: Any, revoked: set[TP], **kwargs: Any) -> None:
        await workers.revoke(revoked)

    app.task(workers.following.run)
    app.task(workers.watch)

    @app.on_before_shutdown.connect(weak=False)
    async def shutdown(sender: Any, **kwargs: Any) -> None:
        await workers.close()

    return app


class Workers:
    """The partitions of this process, its warm copies of others, the compute thread and what they share."""

    def __init__(self, app: BatchApp, settings: Settings) -> None:
        self._app, self._settings = app, settings
        self._compute = ThreadPoolExecutor(1, thread_name_prefix="compute")
        self._packing = ThreadPoolExecutor(1, thread_name_prefix="packing")
        self._copying = ThreadPoolExecutor(settings.partitions, thread_name_prefix="standby")
        registry = open_registry(settings)
        self._codecs = Codecs(registry)
        self.following = Following(settings, registry)
        self._publisher = Publisher(settings, lambda: self._consumer)
        passing = build_pass(settings, self._codecs)
        self._turns = Turns(settings, passing, self.following, self._publisher, self._compute, self._packing)
        self._partitions: dict[TP, Partition] = {}
        self._parked: dict[TP, Partition] = {}
        self._identity = identity(settings)
        self._standbys = Standbys(settings, partial(self._open_store, STANDBY_CACHE), self._copying)
        app.assignor_of_partitions = WarmAssignor(settings.standby_replicas, self._warm)
        self._watchdog = Watchdog(settings, self._partitions, self._give_up)
        self._health = Health(settings, self._partitions, self._standbys, self.following, self._watchdog)

    def give(self, batches: Batches) -> None:
        for tp, batch in batches.items():
            partition = self._partitions.get(tp)
            if partition is not None:  # else revoked while the batch was on its way: its next owner reads it
                partition.give(batch)
        self._turns.wake()

    async def assign(self, tps: set[TP]) -> None:
        """Open these partitions in the background; each reads only once its state is ready."""
        self._health.start()
        self._watchdog.start()
        await asyncio.gather(*(self._parked.pop(tp).stop() for tp in self._parked.keys() - tps))
        await self._standbys.keep(set(self._app.assignor_of_partitions.standby))
        share = max(len(tps), 1)
        for tp in tps - self._partitions.keys():
            partition = self._parked.pop(tp, None) or Partition(
                self._settings,
                tp,
                self._consumer,
                self.following,
                self._codecs,
                self._compute,
                self._turns,
                self._publisher,
                partial(self._open_store, max(int(self._settings.block_cache_bytes) // share, 1 << 20)),
                max(self._settings.hot_rows // share, 2 * self._settings.batch_records),
            )
            self._partitions[tp] = partition
            partition.start()

    async def revoke(self, tps: set[TP]) -> None:
        """Finish and commit what is in work; a rebalance mostly brings the same partitions back."""
        leaving = {tp: self._partitions.pop(tp) for tp in tps if tp in self._partitions}
        await asyncio.gather(*(partition.park() for partition in leaving.values()))
        self._parked |= leaving
        held = {partition.source: partition.held for partition in leaving.values()}
        try:
            await self._publisher.release({tp: offset for tp, offset in held.items() if offset is not None})
        except (
            KafkaError
        ) as refusal:  # no member any longer: whoever has the partitions now ends our transactions
            log.warning("partitions could not be given up in order: %r", refusal)

    def _warm(self) -> dict[int, int]:
        """How far this worker has the state of which partition."""
        mine = {tp.partition: OWNED for tp in [*self._partitions, *self._parked]}
        return self._standbys.offsets() | mine

    def _open_store(self, block_cache: int, number: int) -> Store:
        settings, name = self._settings, Topics(self._settings).behavior_events
        folder = Path(settings.data_dir) / settings.app_id / f"{name}-{number}"
        return Store(folder, block_cache, int(settings.write_buffer_bytes), f"{self._identity}/{number}")

    async def watch(self) -> None:
        """A partition that failed has an unknown state in memory: end the process, the log has everything."""
        while not self._app.should_stop:
            await asyncio.sleep(WATCH_S)
            lost = self._consumer.group_failure
            if lost is not None:
                log.error("this worker cannot be a member of group %s: %r", self._settings.app_id, lost)
                await self._app.crash(lost)
                return
            for tp, partition in list(self._partitions.items()):
                if partition.failure is not None:
                    log.error("partition %d failed: %r", tp.partition, partition.failure)
                    await self._app.crash(partition.failure)
                    return

    def _give_up(self, stuck: Stuck) -> None:
        """Called by the watchdog's thread."""
        asyncio.run_coroutine_threadsafe(self._app.crash(stuck), self._app.loop)

    async def close(self) -> None:
        """Drain: commit what is in work, then let everything go."""
        await self.revoke(set(self._partitions))
        await asyncio.gather(*(partition.stop() for partition in self._parked.values()))
        self._parked.clear()
        await self._turns.stop()
        await self._publisher.stop()
        await self._standbys.keep(set())
        self._watchdog.stop()
        self._health.stop()
        self._compute.shutdown(wait=True)
        self._packing.shutdown(wait=True)

    @property
    def _consumer(self) -> BatchConsumer:
        consumer = self._app.consumer
        assert isinstance(consumer, BatchConsumer)
        return consumer
