"""Batch transport: Faust's aiokafka transport, but an agent gets one event per (partition, up to N records).

The value of such an event is the list of raw aiokafka records, undecoded. Acknowledging and committing are not
Faust's business here: the partition commits its offset in its own transaction (streams/transaction.py), so `ack` and
`commit` do nothing. Partitions are fetched only while they are open for reading (`open_partition`), which is also
where the position is set to the redo offset.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar, cast

import aiokafka
import faust
from aiokafka.structs import TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, Message

from schemas.kafka import aiokafka_config
from schemas.settings import Settings


class RawBatches(faust.Schema[Any, Any]):
    """Hands the list of raw records through as the event's value."""

    def loads_key(self, app: Any, message: Message, **kwargs: Any) -> Any:
        return message.key

    def loads_value(self, app: Any, message: Message, **kwargs: Any) -> Any:
        return message.value


class BatchThread(driver.AIOKafkaConsumerThread):
    """The thread that fetches and heartbeats, with the clients' security settings and read_committed."""

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        conf = self.app.conf
        settings: Settings = transport.settings
        self._assignor = aiokafka.coordinator.assignors.roundrobin.RoundRobinPartitionAssignor
        return aiokafka.AIOKafkaConsumer(
            **aiokafka_config(settings),
            group_id=conf.id,
            group_instance_id=conf.consumer_group_instance_id,
            partition_assignment_strategy=[self._assignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_poll_records=settings.batch_records,
            max_partition_fetch_bytes=max(4 << 20, settings.max_event_bytes),
            fetch_max_wait_ms=500,
            max_poll_interval_ms=1_000_000,
            session_timeout_ms=int(settings.session_timeout_s * 1000),
            heartbeat_interval_ms=int(settings.session_timeout_s * 300),
            rebalance_timeout_ms=60_000,
        )


class BatchConsumer(driver.Consumer):
    """Delivers batches of one partition; partitions not open for reading wait."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._open: set[TP] = set()

    def _new_consumer_thread(self) -> BatchThread:
        return BatchThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:
        """One message per partition with records; its value is the list of records, its offset the first one's."""
        records, _ = await self._wait_next_records(timeout)
        generation = self.app.consumer_generation_id
        for tp, batch in (records or {}).items():
            if not self.flow_active or self.app.consumer_generation_id != generation:
                return  # a rebalance began: the partition's position is set anew when it is opened again
            if batch and tp in self._open:
                yield TP(*tp), self._batch_message(TP(*tp), batch)

    def _batch_message(self, tp: TP, records: list[Any]) -> Message:
        first = records[0]
        message = self._to_message(tp, first)
        message.key, message.headers = None, None
        message.value = cast(Any, records)
        return message

    async def _wait_next_records(self, timeout: float) -> tuple[Any, Any]:
        """Only partitions open for reading count here, not Faust's paused, resumed and buffered ones."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow)  # type: ignore[arg-type]
        wanted = self._open & self.assignment()
        if not wanted:
            await self.sleep(0.02)
            return {}, wanted
        return await self._getmany(active_partitions=wanted, timeout=timeout), wanted

    async def open_partition(self, tp: TP, offset: int) -> None:
        """Read from `offset` on. Raises the driver's error when the partition is no longer assigned."""
        await self._thread.call_thread(self._thread_seek, tp, offset)
        self._read_offset[tp] = None  # redo reads what was read before: no "dropped message" guard
        self._open.add(tp)

    async def _thread_seek(self, tp: TP, offset: int) -> None:
        self._thread._ensure_consumer().seek(TopicPartition(tp.topic, tp.partition), offset)

    def close_partition(self, tp: TP) -> None:
        self._open.discard(tp)

    def hold(self, tp: TP, full: bool) -> None:
        """Backpressure: stop or resume fetching a partition whose queue is full."""
        if full:
            self._open.discard(tp)
        else:
            self._open.add(tp)

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

    async def commit_offset(self, tp: TP, offset: int) -> bool:
        """Commit as a member of the group (used by the at_least_once guarantee)."""
        return await self._commit({tp: offset})

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
