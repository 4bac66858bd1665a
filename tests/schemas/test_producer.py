"""The producer library as far as it goes without a broker; deliveries: test_producer_kafka."""

import math
from typing import Any

import pyarrow as pa
import pytest

from schemas.codec import EncodeProblem
from schemas.producer import DeliveryFailed, EventProducer
from schemas.settings import Settings

EVENT = {"user_id": "u1", "event_type": "item_view"}


@pytest.fixture
def producer(settings: Settings) -> EventProducer:
    return EventProducer(settings, message_timeout_ms=300, log_level=0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"user_id": ""}, "user_id is empty"),
        ({"user_id": None}, "user_id is empty"),
        ({"price": math.nan}, "price is nan, want a finite number not below 0"),
        ({"quantity": -1.0}, "quantity is -1.0"),
        ({"pirce": 1.0}, "no such field: pirce"),
        ({"event_type": None}, "row 0"),
    ],
)
def test_an_event_that_would_be_dead_lettered_is_refused_at_once(
    producer: EventProducer, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(EncodeProblem, match=said):
        producer.send(EVENT | change)


def test_a_batch_needs_a_shopper_in_every_row(producer: EventProducer) -> None:
    columns = {"event_id": ["a", "b"], "event_type": ["x", "x"], "event_time": [1, 2]}
    with pytest.raises(EncodeProblem, match="user_id is empty in row 1"):
        producer.send_batch(pa.RecordBatch.from_pydict(columns | {"user_id": ["u", ""]}))
    with pytest.raises(EncodeProblem, match="column user_id is missing"):
        producer.send_batch(pa.RecordBatch.from_pydict(columns))


def test_what_did_not_arrive_is_raised_with_count_and_shopper(producer: EventProducer) -> None:
    for n in range(7):
        producer.send(EVENT | {"user_id": f"u{n}"})
    with pytest.raises(DeliveryFailed, match="7 events were not delivered") as problem:
        producer.flush(10)
    assert problem.value.failures == 7
    assert "user 'u0'" in str(problem.value)
    assert "and 2 more" in str(problem.value)
    producer.close()  # told once: nothing is left to tell


def test_leaving_the_context_raises_what_did_not_arrive(settings: Settings) -> None:
    with (
        pytest.raises(DeliveryFailed),
        EventProducer(settings, message_timeout_ms=300, log_level=0) as producer,
    ):
        producer.send(EVENT)


def test_an_exception_on_its_way_is_not_hidden_by_a_failed_delivery(settings: Settings) -> None:
    def caller() -> None:
        with EventProducer(settings, message_timeout_ms=300, log_level=0) as producer:
            producer.send(EVENT)
            raise KeyError("the caller's own")

    with pytest.raises(KeyError, match="the caller's own"):
        caller()
