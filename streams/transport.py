"""Batch transport: Faust's aiokafka transport, but an agent gets one event per fetch, with up to N records.

The value of such an event is `Batches`: by partition a `Batch` of raw aiokafka records, undecoded. Acknowledging and
committing are not Faust's business here: a turn commits offsets in its own transaction (streams/turns.py), so `ack` and
`commit` do nothing. Partitions are fetched only while they are open for reading (`open_partition`), which is also where
the position is set to the redo offset. A batch tells at which opening it was fetched: when a partition was opened again,
what is still on its way from before must not be applied.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar, NamedTuple, cast

import aiokafka
import faust
from aiokafka.errors import NoOffsetForPartitionError, OffsetOutOfRangeError
from aiokafka.structs import TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, Message

from schemas.kafka import aiokafka_config
from schemas.settings import Settings
from streams.assignment import WarmAssignor
from streams.member_offsets import Membership
from streams.offsets import GONE, RetentionTooShort

QUIET_WAIT_MS = 500
BUSY_BYTES = 1 << 20


class Batch(NamedTuple):
    """Records of one partition in offset order.

    opening: the partition's opening at which they were fetched. number: counts its batches since then, from 1.
    """

    opening: int
    number: int
    records: list[Any]


Batches = dict[TP, Batch]


class RawBatches(faust.Schema[Any, Any]):
    """Hands the batches through as the event's value."""

    def loads_key(self, app: Any, message: Message, **kwargs: Any) -> Any:
        return message.key

    def loads_value(self, app: Any, message: Message, **kwargs: Any) -> Any:
        return message.value


class BatchThread(driver.AIOKafkaConsumerThread):
    """The thread that fetches and heartbeats, with the clients' security settings and read_committed.

    Fetching, seeking and counting openings all happen in this thread: so a batch and its opening belong together.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._answered = 0.0  # when records came last, monotonic seconds
        self._openings: dict[TopicPartition, int] = {}
        # Next offset to fetch, markers of transactions passed, and the number of the last batch of this opening.
        self.fetched: dict[TopicPartition, tuple[int, int]] = {}

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        conf = self.app.conf
        settings: Settings = transport.settings
        self._assignor = cast(BatchApp, self.app).assignor_of_partitions
        return aiokafka.AIOKafkaConsumer(
            **aiokafka_config(settings),
            group_id=conf.id,
            group_instance_id=conf.consumer_group_instance_id,
            partition_assignment_strategy=[self._assignor],
            enable_auto_commit=False,
            auto_offset_reset="none",  # never skip what retention took: see Offsets.redo_from
            isolation_level="read_committed",
            max_poll_records=settings.batch_records,
            max_partition_fetch_bytes=max(4 << 20, settings.max_event_bytes),
            fetch_max_wait_ms=QUIET_WAIT_MS,
            max_poll_interval_ms=1_000_000,
            session_timeout_ms=int(settings.session_timeout_s * 1000),
            heartbeat_interval_ms=int(settings.session_timeout_s * 300),
            rebalance_timeout_ms=60_000,
        )

    async def _fetch_records(  # type: ignore[override]
        self,
        consumer: Any,
        active_partitions: set[TP],
        timeout: float | None = None,
        max_records: int | None = None,
    ) -> dict[Any, Batch]:
        try:
            fetched = await super()._fetch_records(consumer, active_partitions, timeout, max_records) or {}
        except NoOffsetForPartitionError:
            return {}  # a rebalance took a position away; whoever opens the partition sets it
        self._pace(consumer, sum(map(len, fetched.values())))
        assignment = consumer._subscription.subscription.assignment
        for tp in self._openings.keys() & assignment.tps:
            position, number = assignment.state_value(tp), self.fetched[tp][1] + (tp in fetched)
            if position.has_valid_position:
                self.fetched[tp] = position.position, number
        return {
            tp: Batch(self._openings[tp], self.fetched[tp][1], records) for tp, records in fetched.items()
        }

    def _pace(self, consumer: Any, count: int) -> None:
        """While more than one record comes in `fetch_max_wait_ms`, let the broker collect them for that long; else have
        it answer at the first one. The fetcher's own settings are private in aiokafka: a test guards them."""
        now, wait_ms = time.monotonic(), cast(BatchTransport, self.transport).settings.fetch_max_wait_ms
        busy = count * wait_ms > (now - self._answered) * 1000
        self._answered = now
        consumer._fetcher._fetch_min_bytes = BUSY_BYTES if busy else 1
        consumer._fetcher._fetch_max_wait_ms = wait_ms if busy else QUIET_WAIT_MS

    async def seek_and_open(self, tp: TopicPartition, offset: int) -> int:
        """Go on at `offset`; returns the number of this opening, which batches from now on carry."""
        consumer = self._ensure_consumer()
        consumer.seek(tp, offset)
        consumer._fetcher._records.pop(tp, None)  # an error of the time without a position would come up now
        self._openings[tp] = self._openings.get(tp, 0) + 1
        self.fetched[tp] = offset, 0
        return self._openings[tp]


class BatchConsumer(driver.Consumer):
    """Delivers batches of one partition; partitions not open for reading wait."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._open: set[TP] = set()
        self._held: set[TP] = set()  # open, but not asked for: what was fetched before is still delivered

    def _new_consumer_thread(self) -> BatchThread:
        return BatchThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:
        """One message for all partitions with records; its value is `Batches`. Faust takes some 300 µs for a message.

        Faust drops a message that is on its way while a rebalance begins: the partitions notice by the batches' numbers.
        """
        try:
            records, _ = await self._wait_next_records(timeout)
        except OffsetOutOfRangeError as gone:
            await self.app.crash(RetentionTooShort(f"{gone}: {GONE}"))
            return
        batches = {TP(*tp): batch for tp, batch in (records or {}).items() if batch.records}
        if batches:
            yield next(iter(batches)), self._message_of(batches)

    def _message_of(self, batches: Batches) -> Message:
        tp, first = next(iter(batches.items()))
        message = self._to_message(tp, first.records[0])
        message.key, message.headers = None, None
        message.value = cast(Any, batches)
        return message

    async def _wait_next_records(self, timeout: float) -> tuple[Any, Any]:
        """Only partitions open for reading count here, not Faust's paused, resumed and buffered ones."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow)  # type: ignore[arg-type]
        wanted = (self._open - self._held) & self.assignment()
        if not wanted:
            await self.sleep(0.02)
            return {}, wanted
        return await self._getmany(active_partitions=wanted, timeout=timeout), wanted

    async def open_partition(self, tp: TP, offset: int) -> int:
        """Read from `offset` on; returns the number of this opening. Raises the driver's error when the partition is
        no longer assigned."""
        thread = cast(BatchThread, self._thread)
        opening: int = await thread.call_thread(
            thread.seek_and_open, TopicPartition(tp.topic, tp.partition), offset
        )
        self._read_offset[tp] = None  # redo reads what was read before: no "dropped message" guard
        self._held.discard(tp)
        self._open.add(tp)
        return opening

    @property
    def group_failure(self) -> BaseException | None:
        """What ended this worker's membership for good, such as a session timeout that the broker refuses."""
        consumer = cast(BatchThread, self._thread)._consumer
        coordinator = None if consumer is None else consumer._coordinator
        task = getattr(coordinator, "_coordination_task", None)
        return task.exception() if task is not None and task.done() and not task.cancelled() else None

    def fetched(self, tp: TP) -> tuple[int, int]:
        """Next offset that will be fetched, and the number of the last batch since the partition was opened; (-1, 0)
        before that."""
        return cast(BatchThread, self._thread).fetched.get(TopicPartition(tp.topic, tp.partition), (-1, 0))

    def answered(self, tp: TP) -> int | None:
        """When the broker's latest answer to a fetch of the partition came, ms; None before the first. Raises
        AssertionError when it is no longer assigned."""
        consumer = cast(BatchThread, self._thread)._ensure_consumer()
        found: int | None = consumer.last_poll_timestamp(TopicPartition(tp.topic, tp.partition))
        return found

    def close_partition(self, tp: TP) -> None:
        self._open.discard(tp)
        self._held.discard(tp)

    def hold(self, tp: TP, full: bool) -> None:
        """Backpressure: stop or resume fetching a partition whose queue is full."""
        if full:
            self._held.add(tp)
        else:
            self._held.discard(tp)

    async def perform_seek(self) -> None:
        """Nothing: positions are set by `open_partition`, once the partition's state is ready."""

    async def seek_to_committed(self) -> Mapping[TP, int]:
        return {}

    def ack(self, message: Message) -> bool:
        message.acked = True
        self._unacked_messages.discard(message)
        return True

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        return False

    async def commit_offsets(self, offsets: Mapping[TP, int]) -> None:
        """Commit as a member of the group (used by the at_least_once guarantee).

        What a rebalance refuses is let be, its events come again; any other failure crashes the app, as Faust does it.
        """
        await self._commit({TP(*tp): offset for tp, offset in offsets.items()})

    @property
    def membership(self) -> Membership:
        """Who this worker is in its group; generation -1 while it is no member."""
        coordinator = cast(BatchThread, self._thread)._ensure_consumer()._coordinator
        return Membership(coordinator.generation, coordinator.member_id, coordinator._group_instance_id)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Batches leave gaps between first offsets by nature; nothing to remember."""


class BatchTransport(driver.Transport):
    """`settings` carries the security and batch settings to the consumer."""

    Consumer: ClassVar[type[BatchConsumer]] = BatchConsumer
    settings: Settings


class BatchApp(faust.App):
    """A Faust app that connects as the settings say and whose consumer speaks batches.

    `_new_transport` is private in Faust: a test guards it.
    """

    def __init__(self, settings: Settings, **options: Any) -> None:
        self.batch_settings = settings
        self.assignor_of_partitions = WarmAssignor(settings.standby_replicas, dict)
        super().__init__(
            settings.app_id,
            broker=[f"kafka://{server}" for server in settings.bootstrap_servers.split(",")],
            broker_credentials=_credentials(settings),  # of the producer that Faust starts for itself
            datadir=settings.data_dir,
            **options,
        )

    def _new_transport(self) -> BatchTransport:
        transport = BatchTransport(self.conf.broker_consumer, self)
        transport.settings = self.batch_settings
        return transport


def _credentials(settings: Settings) -> faust.SASLCredentials | faust.SSLCredentials | None:
    config = aiokafka_config(settings)
    context = config.get("ssl_context")
    if settings.security_protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=config["sasl_plain_username"],
            password=config["sasl_plain_password"],
            mechanism=config["sasl_mechanism"],
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context is not None else None
