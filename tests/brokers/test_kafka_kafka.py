"""The real Kafka of the tests does what intentflow stands on: transactions, and no loss when it is killed -9."""

import uuid

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.brokers.kafka import VERSION, Kafka
from tests.brokers.noida import Noida
from tests.brokers.secure import SecureKafka


def _new_topic(broker: Kafka | Noida) -> str:
    topic = f"t{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(timeout=20)
    return topic


def _transact(producer: Producer, topic: str, values: list[bytes], *, commit: bool) -> None:
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value)
    if commit:
        producer.commit_transaction(30)
    else:
        producer.flush(30)
        producer.abort_transaction(30)


def _committed(broker: Kafka | Noida, topic: str, count: int) -> list[bytes]:
    """The first `count` committed values, and whatever else comes within a short moment after them."""
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": uuid.uuid4().hex,
            "isolation.level": "read_committed",
        }
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    try:
        messages = consumer.consume(count, timeout=20) + consumer.consume(1, timeout=0.5)
        return [message.value() or b"" for message in messages if message.error() is None]
    finally:
        consumer.close()


def _producer(broker: Kafka | Noida) -> Producer:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": uuid.uuid4().hex})
    producer.init_transactions(30)
    return producer


@pytest.mark.parametrize(
    "fixture",
    [
        pytest.param("kafka_broker", marks=pytest.mark.kafka),
        pytest.param("embedded_broker", marks=pytest.mark.embedded),
    ],
)
def test_a_reader_of_committed_sees_the_committed_transaction_and_not_the_aborted_one(
    request: pytest.FixtureRequest, fixture: str
) -> None:
    broker = request.getfixturevalue(fixture)
    topic, producer = _new_topic(broker), _producer(broker)
    _transact(producer, topic, [b"aborted"] * 3, commit=False)
    _transact(producer, topic, [b"one", b"two", b"three"], commit=True)
    assert _committed(broker, topic, 3) == [b"one", b"two", b"three"]


def test_a_second_producer_of_the_same_transactional_id_fences_the_first(kafka_broker: Kafka) -> None:
    topic, same_id = _new_topic(kafka_broker), {"transactional.id": uuid.uuid4().hex}
    zombie, heir = (Producer({"bootstrap.servers": kafka_broker.bootstrap, **same_id}) for _ in range(2))
    zombie.init_transactions(30)
    heir.init_transactions(30)
    with pytest.raises(KafkaException, match=r"FENCED|fenced"):
        _transact(zombie, topic, [b"late"], commit=True)


def test_what_was_committed_is_there_after_kill_9(kafka_broker: Kafka) -> None:
    topic, producer = _new_topic(kafka_broker), _producer(kafka_broker)
    _transact(producer, topic, [b"kept"], commit=True)
    try:
        kafka_broker.kill()
        assert not kafka_broker.running
    finally:
        kafka_broker.start()  # the rest of the session uses it
    assert _committed(kafka_broker, topic, 1) == [b"kept"]


def test_the_tools_of_apache_kafka_run_against_it(kafka_broker: Kafka) -> None:
    command = ("--bootstrap-server", kafka_broker.bootstrap, "--version")
    assert VERSION in kafka_broker.tool("org.apache.kafka.tools.BrokerApiVersionsCommand", *command)


def test_a_secure_broker_refuses_a_client_without_tls(secure_broker: SecureKafka) -> None:
    plain = AdminClient({"bootstrap.servers": secure_broker.bootstrap, "log_level": "0"})
    with pytest.raises(KafkaException):
        plain.list_topics(timeout=2)
