"""The events of the measurements, and the counter of one run's numbers in them."""

import numpy as np
import pyarrow as pa
import pytest

from bench.workload import Workload, event_ids, number_of
from schemas.codec import Codec
from schemas.registry import open_registry
from schemas.settings import Settings


@pytest.fixture
def codec(settings: Settings) -> Codec:
    return Codec(open_registry(settings), "behavior_event")


def whole(workload: Workload, codec: Codec) -> pa.Table:
    return pa.Table.from_batches(workload.batches(codec.arrow_schema, size=700))


def test_a_seed_gives_the_same_events_again_and_another_gives_others(codec: Codec):
    def drawn(seed: int) -> pa.Table:
        return whole(Workload(100, 2000, seed=seed, end=10**12), codec)

    assert drawn(1).equals(drawn(1))
    assert not drawn(1).column("user_id").equals(drawn(2).column("user_id"))


def test_events_come_in_order_of_time_and_end_at_the_end(codec: Codec):
    times = whole(Workload(100, 2000, end=10**12), codec).column("event_time").cast(pa.int64()).to_numpy()
    assert (np.diff(times) > 0).all()
    assert abs(int(times[-1]) - 10**12) <= 1


def test_each_once_brings_everyone_before_anyone_again(codec: Codec):
    users = whole(Workload(1000, 1500, each_once=True), codec).column("user_id").to_pylist()
    assert len(set(users[:1000])) == 1000
    assert len(set(users)) == 1000


def test_event_ids_are_uuids_that_hold_their_number():
    numbers = np.array([0, 1, 255, 10**12])
    ids = event_ids(numbers, seed=3).to_pylist()
    assert [number_of(event_id) for event_id in ids] == numbers.tolist()
    assert len({event_id[:23] for event_id in ids}) == 4
    assert all([len(part) for part in event_id.split("-")] == [8, 4, 4, 4, 12] for event_id in ids)


def test_encoded_events_decode_without_a_bad_one(codec: Codec):
    batch = next(Workload(50, 300).batches(codec.arrow_schema))
    decoded = codec.decode(codec.encode(batch))
    assert decoded.batch.num_rows == 300
    assert not decoded.bad
