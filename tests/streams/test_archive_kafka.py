"""The archive agent on a real Kafka: what transactions hide and leave behind."""

import pytest

from schemas import topics
from schemas.settings import Settings
from streams.archive import Archive
from tests.streams.archiving import Wire, places, prediction

pytestmark = pytest.mark.kafka


def test_archives_committed_records_only_and_ends_at_an_open_transaction(settings: Settings) -> None:
    stream = settings.model_copy(update={"app_id": settings.topic_prefix.strip("-"), "retention_days": 0.0})
    topics.create(stream)
    wire = Wire(stream, transactional_id=stream.app_id)
    wire.producer.init_transactions()
    for number, good in enumerate([True, False, True]):
        wire.producer.begin_transaction()
        wire.rows("prediction", [prediction(number * 10 + n) for n in range(10)])
        wire.flush()
        (wire.producer.commit_transaction if good else wire.producer.abort_transaction)()
    wire.producer.begin_transaction()
    wire.rows("prediction", [prediction(90)])
    wire.flush()
    Archive(stream, file_offsets=8).run(until_end=True)
    committed = [*range(10), *range(22, 32)]  # a marker follows each transaction
    assert places(stream, "predictions") == [(0, offset) for offset in committed]
    wire.producer.commit_transaction()
    Archive(stream, file_offsets=8).run(until_end=True)
    assert places(stream, "predictions") == [(0, offset) for offset in [*committed, 33]]
