"""Which events are refused and with what words, however the check gets there."""

import math

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from models.usable import MAX_ID, Bounds, unusable

NOW = 1_700_000_000_000
BOUNDS = Bounds(max_age_days=1, max_ahead_s=60)
texts = st.text(max_size=5) | st.sampled_from(
    ["x" * MAX_ID, "x" * (MAX_ID + 1), "ß" * MAX_ID, "ß" * (MAX_ID + 1), "\x1f", "\x7f", " "]
)
times = st.sampled_from(
    [0, -1, -(2**63), 2**63 - 1, NOW, NOW - 86_400_000, NOW - 86_400_001, NOW + 60_000, NOW + 60_001]
)
numbers = st.none() | st.floats()


def batch(rows: list[tuple[str, str, int, float | None]]) -> pa.RecordBatch:
    users, ids, moments, prices = zip(*rows, strict=True) if rows else ((), (), (), ())
    return pa.record_batch(
        {
            "user_id": pa.array(users, pa.string()),
            "event_id": pa.array(ids, pa.string()),
            "event_time": pa.array(moments, pa.int64()).cast(pa.timestamp("ms")),
            "price": pa.array(prices, pa.float64()),
            "quantity": pa.nulls(len(rows), pa.float64()),
        }
    )


def reason(user: str, event: str, time: int, price: float | None) -> str | None:
    for text, name in ((user, "missing_user"), (event, "bad_id")):
        if not 0 < len(text) <= MAX_ID or any(character < " " for character in text):
            return name
    if not (time > 0 and NOW - 86_400_000 <= time <= NOW + 60_000):
        return "absurd_time"
    return None if price is None or (math.isfinite(price) and price >= 0) else "bad_number"


@given(st.lists(st.tuples(texts, texts, times, numbers), max_size=6), st.integers(0, 2))
def test_each_row_is_judged_by_itself_in_any_slice(
    rows: list[tuple[str, str, int, float | None]], first: int
) -> None:
    faults = unusable(batch(rows).slice(first), np.full(max(len(rows) - first, 0), NOW), BOUNDS)
    wanted = {at: reason(*row) for at, row in enumerate(rows[first:])}
    assert {at: fault for at, (fault, _) in faults.items()} == {at: why for at, why in wanted.items() if why}


def test_a_fault_says_what_was_found() -> None:
    rows = [("u", "e\n", NOW, None), ("u", "e", NOW + 90_000, None), ("u", "e", NOW, math.nan)]
    faults = unusable(batch(rows), np.full(3, NOW), BOUNDS)
    assert "event_id is 'e\\n'" in faults[0][1]
    assert "too far ahead (limit INTENTFLOW_EVENT_MAX_AHEAD_S)" in faults[1][1]
    assert "price is nan" in faults[2][1]
