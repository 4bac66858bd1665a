"""TLS, SCRAM and ACLs on a real broker: every client library gets in with the rights that deploy/README.md lists."""

import asyncio
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import aiokafka
import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AclOperation, ResourceType

from schemas import topics
from schemas.kafka import BrokerAway, BrokerRefuses, aiokafka_config, confluent_config, wait_for_broker
from schemas.producer import DeliveryFailed, EventProducer
from schemas.settings import Settings
from schemas.topics import TopicProblem, Topics
from tests.brokers.secure import SecureKafka

README = Path(__file__).parents[2] / "deploy" / "README.md"
PASSWORD = "correct horse"
EVENT = {"user_id": "u1", "event_type": "purchase", "item_id": "p1", "price": 1.0}


def documented_rights(
    user: str, settings: Settings
) -> Iterator[tuple[ResourceType, str, list[AclOperation]]]:
    """The rows of the table in deploy/README.md for a user, with the settings' names filled in."""
    for line in README.read_text(encoding="utf-8").splitlines():
        if row := re.fullmatch(rf"\| {user} \| (\w+) \| `([^`]+)` \| (.+) \|", line):
            kind, name, operations = row.groups()
            if name.endswith("…"):
                name = {"topic_prefix": settings.topic_prefix, "app_id": settings.app_id}.get(
                    name[:-1], name[:-1]
                )
            else:
                name = settings.topic_prefix + name
            yield (
                ResourceType[kind.upper()],
                name,
                [AclOperation[o.strip().upper()] for o in operations.split(",")],
            )


def _settings_of(broker: SecureKafka, user: str, password: str, prefix: str) -> Settings:
    return Settings(
        app_id=f"{prefix}app",
        topic_prefix=prefix,
        bootstrap_servers=broker.bootstrap,
        security_protocol="SASL_SSL",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username=user,
        sasl_password=password,
        ssl_ca_file=str(broker.ca_file),
    )


@pytest.fixture
def users(secure_broker: SecureKafka) -> dict[str, Settings]:
    """Settings of each documented user, with its documented rights and no others; topics are there."""
    prefix = f"t{uuid.uuid4().hex[:8]}-"
    found = {}
    for role in ("intentflow", "site", "marketing"):
        user = prefix + role
        secure_broker.add_user(user, PASSWORD)
        found[role] = _settings_of(secure_broker, user, PASSWORD, prefix)
        rights = list(documented_rights(role, found[role]))
        assert rights, f"deploy/README.md lists no rights of {role}"
        for kind, name, operations in rights:
            secure_broker.allow(user, kind, name, *operations)
    topics.create(found["intentflow"])
    return found


def test_topics_are_created_and_checked_with_the_documented_rights(users: dict[str, Settings]) -> None:
    topics.check(users["intentflow"])


def test_the_site_writes_events_and_may_do_nothing_else(users: dict[str, Settings]) -> None:
    with EventProducer(users["site"]) as events:
        events.send(EVENT)
    with pytest.raises(TopicProblem, match="describe_configs"):
        topics.check(users["site"])


def test_aiokafka_reads_transforms_and_writes_in_one_transaction(users: dict[str, Settings]) -> None:
    """As a partition of the worker does: fence, read, publish with the offset, all as the user `intentflow`."""
    settings = users["intentflow"]
    names = Topics(settings)
    with EventProducer(users["site"]) as events:
        events.send(EVENT)
    place = asyncio.run(_one_transaction(settings, names))
    assert _read(users["marketing"], names.interventions, "marketing-push") == [b"an intervention"]
    assert _committed(settings, place) == place.offset


async def _one_transaction(settings: Settings, names: Topics) -> TopicPartition:
    """Passes one event on; gives the source offset that was committed with it."""
    source = aiokafka.AIOKafkaConsumer(
        names.behavior_events,
        **aiokafka_config(settings),
        group_id=settings.app_id,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        enable_auto_commit=False,
    )
    sink = aiokafka.AIOKafkaProducer(**aiokafka_config(settings), transactional_id=f"{settings.app_id}-0")
    async with source, sink:
        record = await asyncio.wait_for(source.getone(), 30)
        place = aiokafka.TopicPartition(record.topic, record.partition)
        async with sink.transaction():
            await sink.send(names.interventions, b"an intervention", key=record.key, partition=0)
            await sink.send_offsets_to_transaction({place: record.offset + 1}, settings.app_id)
    return TopicPartition(record.topic, record.partition, record.offset + 1)


def _committed(settings: Settings, place: TopicPartition) -> int:
    consumer = Consumer(
        confluent_config(settings, group_id=settings.app_id, isolation_level="read_committed")
    )
    try:
        return int(consumer.committed([TopicPartition(place.topic, place.partition)], timeout=20)[0].offset)
    finally:
        consumer.close()


def _read(settings: Settings, topic: str, group: str) -> list[bytes]:
    consumer = Consumer(confluent_config(settings, group_id=group, isolation_level="read_committed"))
    consumer.assign([TopicPartition(topic, 0, 0)])
    try:
        return [
            message.value() or b"" for message in consumer.consume(1, timeout=20) if message.error() is None
        ]
    finally:
        consumer.close()


def test_marketing_cannot_write_events(users: dict[str, Settings]) -> None:
    with pytest.raises(DeliveryFailed, match=r"(?i)authoriz"), EventProducer(users["marketing"]) as events:
        events.send(EVENT)


def test_a_wrong_password_is_told_at_once_and_names_the_setting(users: dict[str, Settings]) -> None:
    user = users["intentflow"]
    wrong = user.model_copy(update={"sasl_password": type(user.sasl_password)("wrong")})
    with pytest.raises(BrokerRefuses, match="INTENTFLOW_SASL_PASSWORD"):
        wait_for_broker(wrong, timeout_s=20, say=lambda _: None)


def test_an_authority_that_did_not_sign_the_broker_is_told(users: dict[str, Settings]) -> None:
    strange = users["intentflow"].model_copy(update={"ssl_ca_file": ""})
    with pytest.raises(BrokerRefuses, match="INTENTFLOW_SSL_CA_FILE"):
        wait_for_broker(strange, timeout_s=20, say=lambda _: None)


def test_a_client_without_tls_is_told_that_nothing_answers(users: dict[str, Settings]) -> None:
    plain = users["intentflow"].model_copy(update={"security_protocol": "PLAINTEXT"})
    with pytest.raises((BrokerAway, BrokerRefuses), match="INTENTFLOW_"):
        wait_for_broker(plain, timeout_s=5, say=lambda _: None)
