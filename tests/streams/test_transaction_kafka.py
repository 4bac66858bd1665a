"""The publisher on a real Kafka: who may commit for a partition, and what becomes of what an owner left open."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import aiokafka
import pytest
from aiokafka.errors import KafkaError, ProducerFenced
from aiokafka.structs import TopicPartition
from faust.types import TP

from schemas import topics
from schemas.kafka import aiokafka_config
from schemas.settings import Settings
from schemas.topics import Topics
from streams.member_offsets import Membership, NoMember
from streams.offsets import Offsets
from streams.transaction import NOBODY, Publisher

pytestmark = pytest.mark.kafka
NO_MEMBER = Membership(-1, "", None)  # what the broker takes while the group is empty


class Owner:
    """A worker's publisher, its source partition, and what it tells of its membership."""

    def __init__(self, settings: Settings, membership: Membership = NO_MEMBER) -> None:
        self.names = Topics(settings)
        self.source = TopicPartition(self.names.behavior_events, 0)
        self.consumer: Any = SimpleNamespace(membership=membership)
        self.publisher = Publisher(settings, lambda: self.consumer)
        self.offsets = Offsets(settings, TP(*self.source))

    async def claim(self) -> int:
        return await self.publisher.claim(self.source, self.offsets)

    async def publish(self, offset: int, *values: bytes) -> dict[TopicPartition, int]:
        tp = TopicPartition(self.names.predictions, 0)
        batches = self.publisher.build([(b"user", value) for value in values], tp)
        return await self.publisher.publish({tp: batches}, {self.source: offset})


def play(settings: Settings, script: Callable[[Owner, Owner], Awaitable[None]]) -> None:
    """Two workers of one group that both believe a partition theirs."""
    topics.create(settings)

    async def run() -> None:
        first, second = Owner(settings), Owner(settings)
        try:
            await script(first, second)
        finally:
            await first.publisher.stop()
            await second.publisher.stop()

    asyncio.run(run())


async def committed_values(settings: Settings) -> list[bytes]:
    consumer = aiokafka.AIOKafkaConsumer(**aiokafka_config(settings), isolation_level="read_committed")
    await consumer.start()
    tp = TopicPartition(Topics(settings).predictions, 0)
    consumer.assign([tp])
    await consumer.seek_to_beginning(tp)
    try:
        found = await consumer.getmany(tp, timeout_ms=1_000)
        return [record.value for records in found.values() for record in records]
    finally:
        await consumer.stop()


def test_outputs_and_offset_are_committed_and_the_offset_names_its_owner(settings: Settings) -> None:
    async def script(first: Owner, _: Owner) -> None:
        assert await first.offsets.committed() is None
        assert await first.claim() == 0
        last = await first.publish(5, b"one", b"two")
        assert list(last.values()) == [1]
        assert await first.offsets.committed() == (5, first.publisher.name)
        assert await committed_values(settings) == [b"one", b"two"]

    play(settings, script)


def test_who_takes_over_ends_what_the_last_owner_left_open_and_shuts_it_out(settings: Settings) -> None:
    async def script(first: Owner, second: Owner) -> None:
        await first.claim()
        await first.publish(2, b"kept")
        producer: Any = first.publisher._producer
        await producer.begin_transaction()  # and here it is killed, or falls asleep
        await producer.send_and_wait(first.names.predictions, b"never", partition=0)
        begun = time.monotonic()
        assert await second.claim() == 2
        assert time.monotonic() - begun < 5.0  # it did not wait for the transaction's time-out
        await second.publish(3, b"next")
        assert await committed_values(settings) == [b"kept", b"next"]
        with pytest.raises(KafkaError):
            await producer.send_and_wait(first.names.predictions, b"never", partition=0)
            await producer.commit_transaction()
        assert await committed_values(settings) == [b"kept", b"next"]

    play(settings, script)


def test_a_partition_given_up_in_order_leaves_its_last_owner_alone(settings: Settings) -> None:
    async def script(first: Owner, second: Owner) -> None:
        await first.claim()
        await first.publish(2, b"first")
        await first.publisher.release({first.source: 2})
        assert await first.offsets.committed() == (2, NOBODY)
        assert await second.claim() == 2
        await first.publish(2, b"of another partition")  # it lives on with the others that it has
        assert len(await committed_values(settings)) == 2

    play(settings, script)


@pytest.mark.parametrize("stranger", [Membership(7, "", None), Membership(1, "a member that is none", None)])
def test_offsets_of_one_who_is_no_member_of_this_generation_are_refused_and_nothing_is_visible(
    stranger: Membership, settings: Settings
) -> None:
    async def script(first: Owner, second: Owner) -> None:
        member = aiokafka.AIOKafkaConsumer(
            first.names.behavior_events, **aiokafka_config(settings), group_id=settings.app_id
        )
        await member.start()  # the group is not empty any longer
        try:
            coordinator = member._coordinator
            first.consumer.membership = Membership(coordinator.generation, coordinator.member_id, None)
            await first.claim()
            await first.publish(1, b"member")
            second.consumer.membership = stranger
            await second.publisher._started()
            with pytest.raises(NoMember):
                await second.publish(9, b"stranger")
            second.consumer.membership = first.consumer.membership
            with pytest.raises(ProducerFenced):  # it would commit what the broker still has open of it
                await second.publisher.release({second.source: 1})
            assert await first.offsets.committed() == (1, first.publisher.name)
            assert await committed_values(settings) == [b"member"]
            await first.publish(2, b"still")
        finally:
            await member.stop()

    play(settings, script)


def test_an_owner_that_opens_its_partition_anew_goes_on_behind_what_it_published_last(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker answers before it has marked a transaction as committed, and would still tell the offset before it."""

    async def script(first: Owner, _: Owner) -> None:
        await first.claim()
        await first.publish(3, b"one")
        before = await first.offsets.committed()
        await first.publish(7, b"two")

        async def stale(self: Offsets) -> Any:
            return before

        monkeypatch.setattr(Offsets, "committed", stale)
        assert await first.claim() == 7
        monkeypatch.undo()
        assert await first.offsets.committed() == (7, first.publisher.name)

    play(settings, script)


def test_partitions_claimed_side_by_side_share_one_producer(settings: Settings) -> None:
    """A second one of the same name would fence the first."""

    async def script(first: Owner, _: Owner) -> None:
        sources = [TopicPartition(first.source.topic, number) for number in range(4)]
        claims = [first.publisher.claim(source, Offsets(settings, TP(*source))) for source in sources]
        assert await asyncio.gather(*claims) == [0] * 4
        await first.publish(1, b"one")

    play(settings, script)
