"""Events as fixed-width numpy rows: what a decoded batch becomes before features, and what a shopper's ring
keeps.

A decoded Arrow batch of `BehaviorEvent` goes in, one `EVENT` row of 24 bytes per event comes out. Item and
category names are hashed straight from the Arrow buffers, so the result depends neither on process, chunking
nor slicing.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

EVENT = np.dtype(
    [
        ("time", "<i8"),  # event time, ms since 1970 UTC
        ("item", "<u4"),  # hash of item_id, 0 = none
        ("category", "<u4"),  # hash of category_id, 0 = none
        ("price", "<f4"),  # NaN = none
        ("quantity", "<f2"),  # NaN = none
        ("type", "u1"),  # index in EVENT_TYPES, 0 = unknown
        ("device", "u1"),  # index in DEVICES, 0 = unknown
    ]
)

# The position is what rings and releases store: append only, never reorder.
EVENT_TYPES: tuple[str, ...] = (
    "unknown",
    "page_view",
    "item_view",
    "search",
    "add_to_cart",
    "remove_from_cart",
    "wishlist",
    "checkout_start",
    "purchase",
    "rate",
    "coupon_redeem",
    "impression",
    "click",
    "intervention_exposed",
    "consent",
    "erasure",
    "favorite",
)
DEVICES: tuple[str, ...] = ("unknown", "desktop", "mobile", "tablet", "app", "store")
TYPE_CODE: dict[str, int] = {name: code for code, name in enumerate(EVENT_TYPES)}

Array = npt.NDArray[Any]

_MASK = (1 << 64) - 1
_BASE = 0x9E3779B97F4A7C15  # odd, so that its powers have inverses modulo 2^64
_INVERSE = pow(_BASE, -1, 1 << 64)
_BLOCK = 1 << 14  # bytes hashed at a time: the working set of 8 bytes per byte stays in the L2 cache
_LONGEST = np.iinfo(np.int64).max


def pack(batch: pa.RecordBatch) -> npt.NDArray[np.void]:
    """EVENT rows (N,) of a decoded batch of the BehaviorEvent schema, in its order.

    `event_time` may be timestamp[ms] or int64; unknown event types and devices become 0, a null number NaN.
    A row without event_time raises ValueError: such records belong in dead-letters before this point.
    """
    return _packed(batch, hash_columns([batch.column("item_id"), batch.column("category_id")]))


def pack_with_ids(batch: pa.RecordBatch) -> tuple[npt.NDArray[np.void], npt.NDArray[np.uint64]]:
    """`pack`, and the `hash_strings` (N,) of the event ids."""
    hashes = hash_columns([batch.column(name) for name in ("item_id", "category_id", "event_id")])
    return _packed(batch, hashes[:2]), hashes[2]


def _packed(batch: pa.RecordBatch, items_and_categories: npt.NDArray[np.uint64]) -> npt.NDArray[np.void]:
    rows = np.empty(batch.num_rows, EVENT)
    rows["time"] = _times(batch.column("event_time"))
    rows["item"], rows["category"] = _short(items_and_categories)
    rows["price"] = _floats(batch.column("price"), float(np.finfo(np.float32).max))
    rows["quantity"] = _floats(batch.column("quantity"), float(np.finfo(np.float16).max))
    rows["type"] = _codes(batch.column("event_type"), EVENT_TYPES)
    rows["device"] = _codes(batch.column("device"), DEVICES)
    return rows


def short_hash(strings: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.uint32]:
    """Low 32 bits of `hash_strings` (N,); null -> 0, anything else never 0. The item and category ids of
    EVENT."""
    return _short(hash_strings(strings))


def _short(wide: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint32]:
    short: npt.NDArray[np.uint32] = np.maximum(wide.astype(np.uint32), wide != 0)
    return short


def hash_names(names: list[str]) -> npt.NDArray[np.uint32]:
    """`short_hash` of plain Python names, for vocabularies and tests."""
    return short_hash(pa.array(names, pa.string()))


def hash_strings(strings: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """64-bit hashes (N,) of utf8 or large_utf8 strings; null -> 0, anything else never 0.

    hash = fmix64(length * C + sum of (byte_i + 1) * B^i modulo 2^64), fmix64 being MurmurHash3's finaliser.
    """
    if isinstance(strings, pa.ChunkedArray):
        parts = [hash_strings(chunk) for chunk in strings.chunks]
        return np.concatenate(parts) if parts else np.empty(0, np.uint64)
    hashes: npt.NDArray[np.uint64] = hash_columns([strings])[0]
    return hashes


def hash_columns(columns: Sequence[pa.Array]) -> npt.NDArray[np.uint64]:
    """`hash_strings` of columns of one length, (len(columns), N). In a small batch, calls are what costs."""
    columns = [_texts(column) for column in columns]
    layouts = [layout(column) for column in columns]
    lengths = np.stack([bounds[1:] - bounds[:-1] for bounds, _ in layouts])
    shortest, longest = lengths.min(1, initial=_LONGEST).tolist(), lengths.max(1, initial=0).tolist()
    hashes = np.empty(lengths.shape, np.uint64)
    for at, (bounds, data) in enumerate(layouts):
        if shortest[at] == longest[at] > 0:  # ids mostly are of one length
            hashes[at] = _sums_of_alike(data[bounds[0] : bounds[-1]].reshape(-1, longest[at]))
        else:
            hashes[at] = _sums(bounds, data)
    _finish(hashes, lengths.view(np.uint64))
    for at, column in enumerate(columns):
        if column.null_count:
            hashes[at, np.asarray(column.is_null())] = 0
    return hashes


def _texts(strings: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(strings.type):
        return strings.dictionary_decode()
    if pa.types.is_null(strings.type):
        return strings.cast(pa.string())
    if not (pa.types.is_string(strings.type) or pa.types.is_large_string(strings.type)):
        raise TypeError(
            f"hash_strings takes utf8 strings, not {strings.type}; cast the column to pa.string() first"
        )
    return strings


def layout(strings: pa.Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Byte bounds (N+1,) into the bytes of the array, its own offset (a slice) taken into account."""
    _, offsets, data = strings.buffers()
    if offsets is None or len(strings) == 0:
        return np.zeros(len(strings) + 1, np.int64), np.empty(0, np.uint8)
    kind = np.int64 if pa.types.is_large_string(strings.type) else np.int32
    width = np.dtype(kind).itemsize
    bounds = np.frombuffer(offsets, kind, len(strings) + 1, strings.offset * width).astype(np.int64)
    return bounds, np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)


def _sums_of_alike(texts: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """Polynomial sum of each of N texts of one length, given as bytes (N, length)."""
    powers = _powers(_BASE, texts.shape[1])
    sums: npt.NDArray[np.uint64] = np.einsum("ij,j", texts, powers)
    sums += powers.sum()
    return sums


def _sums(bounds: npt.NDArray[np.int64], data: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """Polynomial sum of each string, over blocks of whole strings of about _BLOCK bytes.

    The terms of a block are made in one go, each byte times B to its place in the block; a string's sum of them is
    then times B^-start.
    """
    filled = bounds[1:] > bounds[:-1]
    if not filled.all():  # `reduceat` has no empty sums
        sums = np.zeros(len(filled), np.uint64)
        sums[filled] = _sums(np.append(bounds[:-1][filled], bounds[-1]), data)
        return sums
    sums = np.empty(len(bounds) - 1, np.uint64)
    row = 0
    while row < len(sums):
        first = int(bounds[row])
        stop = max(row + 1, int(np.searchsorted(bounds, first + _BLOCK, side="right")) - 1)
        starts, size = bounds[row:stop] - first, int(bounds[stop]) - first
        terms = data[first : first + size].astype(np.uint64)
        terms += np.uint64(1)
        terms *= _powers(_BASE, size)
        np.multiply(np.add.reduceat(terms, starts), _powers(_INVERSE, size)[starts], out=sums[row:stop])
        row = stop
    return sums


def _powers(base: int, count: int) -> npt.NDArray[np.uint64]:
    """base^0 … base^(count-1) modulo 2^64. Only a string longer than a block needs more than the kept
    table."""
    return _kept_powers(base)[:count] if count <= _BLOCK + 1 else _build_powers(base, count)


@lru_cache(maxsize=2)
def _kept_powers(base: int) -> npt.NDArray[np.uint64]:
    return _build_powers(base, _BLOCK + 1)


def _build_powers(base: int, count: int) -> npt.NDArray[np.uint64]:
    powers = np.ones(1, np.uint64)
    while len(powers) < count:
        powers = np.concatenate([powers, powers * np.uint64(pow(base, len(powers), 1 << 64))])
    return powers[:count]


def _finish(sums: npt.NDArray[np.uint64], lengths: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """fmix64 of the sums with the lengths mixed in; 0 is kept for null."""
    lengths *= np.uint64(0xC2B2AE3D27D4EB4F)
    sums += lengths
    sums ^= sums >> np.uint64(33)
    sums *= np.uint64(0xFF51AFD7ED558CCD)
    sums ^= sums >> np.uint64(33)
    sums *= np.uint64(0xC4CEB9FE1A85EC53)
    sums ^= sums >> np.uint64(33)
    return np.maximum(sums, np.uint64(1), out=sums)


def _times(column: pa.Array) -> npt.NDArray[np.int64]:
    if column.null_count:
        raise ValueError(
            f"event_time: {column.null_count} rows have none; put them in dead-letters before packing"
        )
    if pa.types.is_timestamp(column.type) and column.type.unit != "ms":
        column = column.cast(pa.timestamp("ms", column.type.tz), safe=False)
    return cast("npt.NDArray[np.int64]", column.to_numpy(zero_copy_only=False).view(np.int64))


def _floats(column: pa.Array, largest: float) -> Array:
    """Numbers as float64 with NaN for null, cut to what the field can hold (a cast to inf would poison
    features)."""
    return np.clip(numbers(column), -largest, largest)


def numbers(column: pa.Array) -> npt.NDArray[np.float64]:
    """A column of numbers as float64 (N,), NaN for null."""
    wide = column if column.type == pa.float64() else column.cast(pa.float64())
    return cast("npt.NDArray[np.float64]", wide.to_numpy(zero_copy_only=False))


def _codes(column: pa.Array, names: tuple[str, ...]) -> Array:
    """Position in `names`, 0 for null and for what is not there."""
    if pa.types.is_null(column.type):
        return np.zeros(len(column), np.uint8)
    found = pc.index_in(column, options=_look_up(names, column.type))
    codes: Array = (found.fill_null(0) if found.null_count else found).to_numpy()
    return codes


@lru_cache(maxsize=8)
def _look_up(names: tuple[str, ...], type: pa.DataType) -> pc.SetLookupOptions:
    return pc.SetLookupOptions(pa.array(names, type))
