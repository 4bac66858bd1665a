"""Whether a changelog holds more than is known: records count, what transactions leave behind does not."""

from __future__ import annotations

import pytest
from confluent_kafka import Producer

from schemas import topics
from schemas.kafka import confluent_config
from schemas.settings import Settings
from streams.changelog import written_since


def _tells_records_from_markers(settings: Settings) -> None:
    topics.create(settings)
    topic = topics.Topics(settings).contacts_changelog
    assert not written_since(settings, topic, 0, 0)
    producer = Producer(confluent_config(settings, transactional_id=f"{settings.app_id}-owner"))
    producer.init_transactions(30)

    def transact(commit: bool) -> None:
        producer.begin_transaction()
        producer.produce(topic, value=b"contact", key=b"user", partition=0)
        producer.flush(30)
        _ = producer.commit_transaction(30) if commit else producer.abort_transaction(30)

    transact(True)
    assert written_since(settings, topic, 0, 0)
    assert not written_since(settings, topic, 0, 1)  # the record is known, behind it stands a marker
    transact(False)
    assert not written_since(settings, topic, 0, 1)
    transact(True)
    assert written_since(settings, topic, 0, 1)
    assert not written_since(settings, topic, 1, 0)


@pytest.mark.embedded
def test_on_the_embedded_broker_it_tells_records_from_markers(settings: Settings) -> None:
    _tells_records_from_markers(settings)


@pytest.mark.kafka
def test_on_kafka_it_tells_records_from_markers(settings: Settings) -> None:
    _tells_records_from_markers(settings)
