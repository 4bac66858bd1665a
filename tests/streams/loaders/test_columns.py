"""Columns that the loaders share: ids, maps and shares."""

import uuid

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.loaders import columns

ints = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(st.tuples(ints, ints), min_size=1, max_size=50, unique=True))
def test_event_ids_are_uuids_that_differ_where_rows_differ(rows: list[tuple[int, int]]) -> None:
    first, second = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    ids = columns.event_ids("a shop", first, second).to_pylist()
    assert len(set(ids)) == len(rows)
    for text in ids:
        id = uuid.UUID(text)
        assert (str(id), id.version, id.variant) == (text, 8, uuid.RFC_4122)


@given(st.lists(ints, min_size=2, max_size=20))
def test_an_event_id_depends_on_source_and_row_only(rows: list[int]) -> None:
    column = np.array(rows, np.int64)
    whole = columns.event_ids("a shop", column).to_pylist()
    assert whole[1:] == columns.event_ids("a shop", column[1:]).to_pylist()
    assert not set(whole) & set(columns.event_ids("another shop", column).to_pylist())


def test_event_ids_stay_what_they_were() -> None:
    # Archives and rings hold ids: another way to make them would count every event twice after a reload.
    ids = columns.event_ids("a shop", np.array([1, 2]), np.array([3, 4]))
    assert ids.to_pylist() == ["e7946fa9-5215-8070-b6a2-1dd38a73a44d", "6c9552c8-4c7e-8d3b-a0c6-33d2b9fa1624"]


def test_a_map_leaves_out_what_is_null() -> None:
    made = columns.properties(
        3, store=pa.array(["1", None, "3"]), channel="mail", coupon=pa.array(["9", None, None])
    )
    assert [dict(row) for row in made.to_pylist()] == [
        {"store": "1", "channel": "mail", "coupon": "9"},
        {"channel": "mail"},
        {"store": "3", "channel": "mail"},
    ]
    assert columns.properties(2).to_pylist() == [[], []]


def test_a_share_keeps_about_that_many_and_a_larger_one_contains_a_smaller() -> None:
    users = np.arange(100_000)
    tenth, third = columns.in_share(users, 0.1), columns.in_share(users, 1 / 3)
    assert abs(tenth.mean() - 0.1) < 0.005
    assert abs(third.mean() - 1 / 3) < 0.005
    assert third[tenth].all()
    assert columns.in_share(users, 1.0).all()
    assert (columns.in_share(users[::-1], 0.1)[::-1] == tenth).all()


@pytest.mark.parametrize("share", [0.0, -0.1, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share is"):
        columns.in_share(np.arange(3), share)
