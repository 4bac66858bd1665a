"""The click logs in ../shared/data as events. Skipped where the data are not on the machine."""

import uuid
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from schemas.codec import Codec
from schemas.registry import FileRegistry
from streams import loaders
from streams.loaders import DataMissing, Loader
from streams.loaders.jdata import JData
from streams.loaders.rees46 import Rees46


def events(loader: Loader) -> pa.Table:
    try:
        return pa.Table.from_batches(loader.events())
    except DataMissing as missing:
        pytest.skip(str(missing))


def counts(table: pa.Table) -> dict[str, int]:
    return {row["values"]: row["counts"] for row in table["event_type"].value_counts().to_pylist()}


@pytest.mark.parametrize("name", ["taobao", "jdata", "rees46"])
def test_events_are_in_order_have_ids_and_encode(name: str) -> None:
    table = events(loaders.open(name))
    assert (np.diff(table["event_time"].cast(pa.int64()).to_numpy()) >= 0).all()
    assert pc.count_distinct(table["event_id"]).as_py() == table.num_rows
    uuid.UUID(table["event_id"][0].as_py())
    batch = table.slice(0, 1000).combine_chunks().to_batches()[0]
    codec = Codec(FileRegistry(), "behavior_event")
    assert codec.decode(codec.encode(batch)).batch.equals(batch)


def test_taobao_keeps_its_four_kinds_in_its_nine_days() -> None:
    table = events(loaders.open("taobao"))
    assert set(counts(table)) == {"item_view", "add_to_cart", "wishlist", "purchase"}
    first, last = pc.min_max(table["event_time"]).values()
    # 2017-11-25 to 2017-12-03, in China's time
    assert datetime(2017, 11, 24, 16) <= first.as_py() <= last.as_py() < datetime(2017, 12, 3, 16)


def test_jdata_times_are_chinas_and_copies_are_dropped_or_share_their_id() -> None:
    table = events(loaders.open("jdata"))
    every = events(JData(copies=True))
    assert table["event_time"][0].as_py() == datetime(2016, 1, 31, 15, 59, 2)
    assert every.num_rows == 59_998
    assert pc.count_distinct(every["event_id"]).as_py() == table.num_rows == 44_814
    assert {"purchase", "remove_from_cart", "click"} <= set(counts(table))


def test_rees46_carries_price_session_and_brand() -> None:
    table = events(loaders.open("rees46"))
    every = events(Rees46(copies=True))
    assert (every.num_rows, table.num_rows) == (17_434, 17_429)
    assert counts(table)["purchase"] == 214
    [first] = table.slice(0, 1).to_pylist()
    assert first["price"] == pytest.approx(35.79)
    assert first["session_id"] == "72d76fde-8bb3-4e00-8c23-a032dfed738c"
    assert dict(first["properties"]) == {"brand": "shiseido"}


def test_missing_data_are_named_with_the_mend(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("INTENTFLOW_DATA", str(tmp_path))
    with pytest.raises(DataMissing, match="set INTENTFLOW_DATA"):
        loaders.open("taobao").count()


def test_an_unknown_loader_is_refused_with_those_there_are() -> None:
    with pytest.raises(KeyError, match="completejourney, taobao, jdata, rees46"):
        loaders.open("amazon")
