"""JData (JD.com, two slices of 2016): browsing, clicks, carts, removals, orders and follows, to the second.

Type 1 browse → `item_view`, 2 → `add_to_cart`, 3 → `remove_from_cart`, 4 order → `purchase`, 5 follow → `wishlist`,
6 click → `click`; sku, category, brand and the clicked module as they are; times are China's (UTC+8). No price and
no session. A quarter of the rows repeat another one exactly, mostly clicks: such copies have one event id. `JData()`
keeps the first of them, `JData(copies=True)` yields all, as a shop that sends its events twice would.
"""

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from streams.loaders import columns
from streams.loaders.base import Loader, batch, file, first_of_copies, ints

TYPES = ("unknown", "item_view", "add_to_cart", "remove_from_cart", "purchase", "wishlist", "click")
CHINA_MS = 8 * 3_600_000
IDENTITY = ["time", "user", "item", "module", "type"]


class JData(Loader):
    """Events of jdata/JData_Action_2slices.csv.gz."""

    name = "jdata"

    def __init__(self, copies: bool = False) -> None:
        self._copies = copies

    def read(self) -> pa.Table:
        found = csv.read_csv(file("JData_Action_2slices.csv.gz", self.name))
        rows = pa.table(
            {
                "time": pc.subtract(found["time"].cast(pa.timestamp("ms")).cast(pa.int64()), CHINA_MS),
                "user": found["user_id"],
                "item": found["sku_id"],
                "module": found["model_id"].cast(pa.int64()),
                "type": found["type"],
                "category": found["cate"],
                "brand": found["brand"],
            }
        )
        return rows if self._copies else first_of_copies(rows, IDENTITY)

    def shape(self, rows: pa.Table) -> pa.RecordBatch:
        return batch(
            rows.num_rows,
            event_id=columns.event_ids(self.name, *ints(rows, *IDENTITY)),
            user_id=columns.text(rows["user"]),
            event_type=columns.named(rows["type"].to_numpy(), TYPES),
            event_time=rows["time"].combine_chunks().cast(pa.timestamp("ms")),
            item_id=columns.text(rows["item"]),
            category_id=columns.text(rows["category"]),
            properties=columns.properties(
                rows.num_rows, brand=columns.text(rows["brand"]), module=columns.text(rows["module"])
            ),
        )
