"""Taobao UserBehavior (about 650 shoppers, nine days of 2017): views, carts, favourites and purchases without price.

pv → `item_view`, cart → `add_to_cart`, fav → `wishlist`, buy → `purchase`; item and category as they are, times UTC.
No session, no price, no device. The source has no doubles; should there be any, they have one event id.
"""

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from streams.loaders import columns
from streams.loaders.base import Loader, batch, file, ints

TYPE_OF = {"pv": "item_view", "cart": "add_to_cart", "fav": "wishlist", "buy": "purchase"}


class Taobao(Loader):
    """Events of taobao/UserBehavior.csv.gz."""

    name = "taobao"

    def read(self) -> pa.Table:
        found = csv.read_csv(file("UserBehavior.csv.gz", self.name))
        codes = pc.index_in(found["behavior"], pa.array(list(TYPE_OF)))
        return pa.table(
            {
                "time": pc.multiply(found["timestamp"], 1000),
                "user": found["user_id"],
                "item": found["item_id"],
                "category": found["category_id"],
                "type": codes,
            }
        )

    def shape(self, rows: pa.Table) -> pa.RecordBatch:
        return batch(
            rows.num_rows,
            event_id=columns.event_ids(self.name, *ints(rows, "time", "user", "item", "type")),
            user_id=columns.text(rows["user"]),
            event_type=columns.named(rows["type"].to_numpy(), tuple(TYPE_OF.values())),
            event_time=rows["time"].combine_chunks().cast(pa.timestamp("ms")),
            item_id=columns.text(rows["item"]),
            category_id=columns.text(rows["category"]),
            properties=columns.properties(rows.num_rows),
        )
