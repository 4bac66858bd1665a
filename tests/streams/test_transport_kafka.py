"""The batch transport under a running Faust app, on a plain broker and on one with SASL_SSL and ACLs."""

import asyncio
import threading
import uuid
from typing import Any

import faust
from confluent_kafka.admin import AclOperation, ResourceType
from faust.types import TP

from schemas import topics
from schemas.producer import EventProducer
from schemas.settings import Settings
from schemas.topics import Topics
from streams.transport import BatchApp, RawBatches
from tests.brokers.kafka import Kafka
from tests.brokers.secure import SecureKafka

EVENTS = 500


def test_an_agent_gets_every_record_in_batches_of_one_partition(
    settings: Settings, kafka_broker: Kafka
) -> None:
    local = settings.model_copy(
        update={"bootstrap_servers": kafka_broker.bootstrap, "app_id": f"a{uuid.uuid4().hex}"}
    )
    _check_batches(local)


def test_the_same_over_sasl_ssl_with_the_rights_to_read_alone(
    settings: Settings, secure_broker: SecureKafka
) -> None:
    names = {"app_id": f"a{uuid.uuid4().hex}", "bootstrap_servers": secure_broker.bootstrap}
    tls = {"security_protocol": "SASL_SSL", "ssl_ca_file": str(secure_broker.ca_file)}
    worker = _logged_in(settings, names | tls, names["app_id"], "worker password")
    admin = secure_broker.client_config()
    site = _logged_in(settings, names | tls, str(admin["sasl.username"]), str(admin["sasl.password"]))
    secure_broker.add_user(worker.sasl_username, "worker password")
    allow = AclOperation
    secure_broker.allow(
        worker.sasl_username, ResourceType.TOPIC, worker.topic_prefix, allow.READ, allow.DESCRIBE
    )
    secure_broker.allow(worker.sasl_username, ResourceType.GROUP, worker.app_id, allow.READ)
    _check_batches(worker, writer=site)


def _logged_in(settings: Settings, names: dict[str, str], user: str, password: str) -> Settings:
    secret = type(settings.sasl_password)(password)
    return settings.model_copy(update=names | {"sasl_username": user, "sasl_password": secret})


def _check_batches(settings: Settings, writer: Settings | None = None) -> None:
    """Writes EVENTS events, runs a Faust app until its agent has as many records, and looks at the batches."""
    writer = writer or settings
    topics.create(writer)
    with EventProducer(writer) as events:
        for n in range(EVENTS):
            events.send({"user_id": f"u{n % 50}", "event_type": "page_view"})
    batches = _received(settings, EVENTS)
    offsets: dict[TP, list[int]] = {}
    for tp, records in batches:
        assert {(record.topic, record.partition) for record in records} == {(tp.topic, tp.partition)}
        offsets.setdefault(tp, []).extend(record.offset for record in records)
    assert sum(map(len, offsets.values())) == EVENTS
    assert all(seen == list(range(len(seen))) for seen in offsets.values()), (
        "in order, none twice, none missing"
    )
    assert len(batches) < EVENTS / 10, "records come in batches, not one by one"


def _received(settings: Settings, count: int) -> list[tuple[TP, list[Any]]]:
    """The batches that an agent of a Faust app got until it had `count` records."""
    batches: list[tuple[TP, list[Any]]] = []
    enough = threading.Event()
    app = _reading_app(settings, batches, enough, count)

    async def run() -> None:
        await app.start()
        try:
            for _ in range(600):
                if enough.is_set():
                    return
                await asyncio.sleep(0.1)
        finally:
            await app.stop()

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(run())
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    return batches


def _reading_app(
    settings: Settings, batches: list[tuple[TP, list[Any]]], enough: threading.Event, count: int
) -> BatchApp:
    app = BatchApp(
        settings,
        topic_disable_leader=True,
        topic_allow_declare=False,
        web_enabled=False,
    )

    @app.agent(app.topic(Topics(settings).behavior_events, schema=RawBatches(), internal=False))
    async def read(stream: faust.Stream[list[Any]]) -> None:
        async for event in stream.events():
            batches.extend((tp, batch.records) for tp, batch in event.value.items())
            if sum(len(records) for _, records in batches) >= count:
                enough.set()

    @app.on_partitions_assigned.connect(weak=False)
    async def assigned(sender: Any, assigned: set[TP], **kwargs: Any) -> None:
        for tp in assigned:
            app.add_future(app.consumer.open_partition(tp, 0))

    return app
