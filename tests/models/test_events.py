"""Packing decoded batches, and hashing strings straight from Arrow buffers."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import events

MASK = (1 << 64) - 1


def slow_hash(text: str | None) -> int:
    """The documented formula, one byte at a time."""
    if text is None:
        return 0
    data, total, power = text.encode(), 0, 1
    for byte in data:
        total = (total + (byte + 1) * power) & MASK
        power = power * 0x9E3779B97F4A7C15 & MASK
    h = (total + len(data) * 0xC2B2AE3D27D4EB4F) & MASK
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        h = (h ^ h >> 33) * factor & MASK
    return (h ^ h >> 33) or 1


texts = st.lists(st.none() | st.text(max_size=30), max_size=40)


@given(texts, st.sampled_from([pa.string(), pa.large_string()]), st.data())
def test_hash_follows_the_formula_in_any_slice(
    names: list[str | None], kind: pa.DataType, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(names)))
    stop = data.draw(st.integers(start, len(names)))
    hashes = events.hash_strings(pa.array(names, kind).slice(start, stop - start))
    assert hashes.tolist() == [slow_hash(name) for name in names[start:stop]]


@given(texts, texts)
def test_hash_does_not_depend_on_chunks(left: list[str | None], right: list[str | None]) -> None:
    chunks = pa.chunked_array([pa.array(left, pa.string()), pa.array(right, pa.string())])
    whole = pa.array([*left, *right], pa.string())
    assert events.hash_strings(chunks).tolist() == events.hash_strings(whole).tolist()


def test_hash_of_a_known_name_never_changes() -> None:
    # Rings, checkpoints and releases on disk hold these numbers.
    assert events.hash_names(["1082185", "SOFT DRINKS", ""]).tolist() == [1189541712, 425033502, 1]


def test_strings_longer_than_a_block_hash_like_short_ones() -> None:
    long = "ab" * 20_000
    names = ["x", long, "y", "", long + "c"]
    assert events.hash_strings(pa.array(names)).tolist() == [slow_hash(name) for name in names]


def test_many_blocks_hash_like_single_strings() -> None:
    names = [f"item-{i * 7919}" for i in range(20_000)]
    hashes = events.hash_strings(pa.array(names))
    assert len(np.unique(hashes)) == len(names)
    assert hashes[::997].tolist() == [slow_hash(name) for name in names[::997]]


@given(st.integers(1, 40), st.lists(st.integers(0, 2**32)), st.integers(0, 3))
def test_texts_of_one_length_hash_like_any(width: int, seeds: list[int], first: int) -> None:
    names = [f"{seed:0{width}}ü{seed}"[:width] for seed in seeds]
    hashes = events.hash_strings(pa.array(names, pa.string()).slice(first))
    assert hashes.tolist() == [slow_hash(name) for name in names[first:]]


def test_columns_hash_together_as_each_alone() -> None:
    columns = [pa.array(["a", None, "bcd"]), pa.array(["ab", "cd", "ef"]), pa.nulls(3), pa.array([""] * 3)]
    assert events.hash_columns(columns).tolist() == [events.hash_strings(part).tolist() for part in columns]


def test_hash_takes_dictionaries_and_null_columns_and_refuses_numbers() -> None:
    names = ["a", None, "b", "a"]
    assert (
        events.hash_strings(pa.array(names).dictionary_encode()) == events.hash_strings(pa.array(names))
    ).all()
    assert events.hash_strings(pa.nulls(3)).tolist() == [0, 0, 0]
    with pytest.raises(TypeError, match="int64"):
        events.hash_strings(pa.array([1, 2]))


def batch(**columns: pa.Array) -> pa.RecordBatch:
    base = {
        "event_time": pa.array([1_500_000_000_123, 1], pa.timestamp("ms")),
        "event_type": pa.array(["purchase", "no-such-type"]),
        "item_id": pa.array(["1082185", None]),
        "category_id": pa.array([None, "SOFT DRINKS"]),
        "price": pa.array([1.5, None]),
        "quantity": pa.array([None, 1e9]),
        "device": pa.array(["store", None]),
    }
    return pa.record_batch({**base, **columns})


def test_pack_keeps_what_is_known_and_marks_what_is_not() -> None:
    first, second = events.pack(batch()).tolist()
    item, category = events.hash_names(["1082185", "SOFT DRINKS"]).tolist()
    purchase, store = events.EVENT_TYPES.index("purchase"), events.DEVICES.index("store")
    nan = pytest.approx(float("nan"), nan_ok=True)
    assert events.EVENT.itemsize == 24
    assert first == (1_500_000_000_123, item, 0, 1.5, nan, purchase, store)
    assert second == (1, 0, category, nan, np.finfo(np.float16).max, 0, 0)


def test_pack_of_a_slice_is_a_slice_of_the_pack() -> None:
    whole = batch(event_time=pa.array([5, 6], pa.timestamp("us")))
    assert events.pack(whole.slice(1)).tobytes() == events.pack(whole)[1:].tobytes()
    assert len(events.pack(whole.slice(2))) == 0


def test_pack_with_ids_is_pack_and_the_hashes_of_the_event_ids() -> None:
    whole = batch(event_id=pa.array(["e1", "event 2"]))
    rows, ids = events.pack_with_ids(whole)
    assert rows.tobytes() == events.pack(whole).tobytes()
    assert ids.tolist() == events.hash_strings(whole.column("event_id")).tolist()


def test_pack_refuses_a_row_without_time() -> None:
    with pytest.raises(ValueError, match="event_time: 1 rows have none"):
        events.pack(batch(event_time=pa.array([5, None], pa.timestamp("ms"))))
