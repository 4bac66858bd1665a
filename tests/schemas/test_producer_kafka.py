"""The producer library against a real Apache Kafka: what arrives, where, and what is raised when it does not."""

import asyncio
from typing import Any

import pyarrow as pa
import pytest
from aiokafka import AIOKafkaProducer
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas import topics
from schemas.codec import Codec
from schemas.kafka import aiokafka_config, confluent_config, wait_for_broker
from schemas.producer import DeliveryFailed, EventProducer
from schemas.registry import FileRegistry
from schemas.settings import Settings
from schemas.topics import Topics

pytestmark = pytest.mark.kafka
SHOPPERS = [f"shopper-{n}" for n in range(50)]


def stored(settings: Settings, topic: str, count: int) -> list[Message]:
    """The first `count` records of a topic; fails when they do not come within 20 s."""
    consumer = Consumer(confluent_config(settings, group_id="reader", enable_auto_commit=False))
    consumer.assign([TopicPartition(topic, n, OFFSET_BEGINNING) for n in range(settings.partitions)])
    found: list[Message] = []
    while len(found) < count:
        got = consumer.consume(count - len(found), timeout=20)
        assert got, f"{len(found)} of {count} records came"
        found += got
    consumer.close()
    return found


def partition_of(messages: list[Message]) -> dict[bytes | None, int | None]:
    return {message.key(): message.partition() for message in messages}


def event(user: str, **more: Any) -> dict[str, Any]:
    return {"user_id": user, "event_type": "item_view"} | more


def test_events_arrive_keyed_decodable_and_with_an_id(settings: Settings) -> None:
    topics.create(settings)
    with EventProducer(settings) as producer:
        ids = [producer.send(event(user, price=2.5)) for user in SHOPPERS]
        assert producer.send(event("u", event_id="mine", event_time=5)) == "mine"
    messages = stored(settings, Topics(settings).behavior_events, 51)
    rows = Codec(FileRegistry(), "behavior_event").decode_rows([message.value() for message in messages])
    assert {row["event_id"] for row in rows} == {*ids, "mine"}
    assert [row["user_id"].encode() for row in rows] == [message.key() for message in messages]


def test_a_shopper_lands_where_aiokafka_and_java_put_her(settings: Settings) -> None:
    topics.create(settings)
    topic = Topics(settings).behavior_events
    with EventProducer(settings) as producer:
        for user in SHOPPERS:
            producer.send(event(user))
    ours = partition_of(stored(settings, topic, 50))

    async def send_with_aiokafka() -> dict[bytes | None, int | None]:
        async with AIOKafkaProducer(**aiokafka_config(settings)) as other:
            return {
                user.encode(): (await other.send_and_wait(topic, b"x", key=user.encode())).partition
                for user in SHOPPERS
            }

    assert ours == asyncio.run(send_with_aiokafka())
    assert len(set(ours.values())) == settings.partitions


def test_a_batch_keeps_its_order_and_its_timestamps(settings: Settings) -> None:
    topics.create(settings)
    count = 5000
    batch = pa.RecordBatch.from_pydict(
        {
            "event_id": [f"e{n:05}" for n in range(count)],
            "user_id": [f"u{n % 9}" for n in range(count)],
            "event_type": ["purchase"] * count,
            "event_time": list(range(count)),
        }
    )
    moments = [1_700_000_000_000 + n for n in range(count)]
    with EventProducer(settings) as producer:
        producer.send_batch(batch, moments)
    messages = stored(settings, Topics(settings).behavior_events, count)
    assert sorted(message.timestamp()[1] for message in messages) == moments
    rows = Codec(FileRegistry(), "behavior_event").decode_rows([message.value() for message in messages])
    for user in {row["user_id"] for row in rows}:
        ids = [row["event_id"] for row in rows if row["user_id"] == user]
        assert ids == sorted(ids)


def test_a_batch_larger_than_the_clients_queue_is_sent_whole(settings: Settings) -> None:
    topics.create(settings)
    columns = {
        "event_id": ["e"] * 3000,
        "user_id": ["u"] * 3000,
        "event_type": ["t"] * 3000,
        "event_time": [1] * 3000,
    }
    with EventProducer(settings, queue_buffering_max_messages=200) as producer:
        producer.send_batch(pa.RecordBatch.from_pydict(columns))
    assert len(stored(settings, Topics(settings).behavior_events, 3000)) == 3000


def test_a_topic_that_is_gone_is_raised(settings: Settings) -> None:
    topics.create(settings)
    topic = Topics(settings).behavior_events
    with EventProducer(settings) as producer:
        producer.send(event("u1"))
        producer.flush()
    admin = AdminClient(confluent_config(settings))
    admin.delete_topics([topic])[topic].result(20)
    late = EventProducer(settings, message_timeout_ms=3000, allow_auto_create_topics=False)

    def send_late() -> None:
        late.send(event("u1"))
        late.flush(15)

    with pytest.raises(DeliveryFailed, match=f"1 events were not delivered to {topic}"):
        send_late()


def test_a_broker_that_is_there_is_not_waited_for(settings: Settings) -> None:
    said: list[str] = []
    wait_for_broker(settings, timeout_s=5, say=said.append)
    assert said == []
