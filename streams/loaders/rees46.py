"""REES46 multi-category store (three hours of October 2019): views, carts and purchases with price, brand and session.

view → `item_view`, cart → `add_to_cart`, purchase → `purchase`; category_id as category, its code and the brand as
properties where the source has them; times UTC. The few exact copies of a row have one event id; `Rees46()` keeps
the first, `Rees46(copies=True)` yields all.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from models.events import hash_strings
from streams.loaders import columns
from streams.loaders.base import Loader, batch, file, first_of_copies, ints

TYPE_OF = {"view": "item_view", "cart": "add_to_cart", "purchase": "purchase"}
TEXTS = ("category_code", "brand", "user_session")


class Rees46(Loader):
    """Events of rees46_oct2019_sample/2019-Oct_first17434.csv.gz."""

    name = "rees46"

    def __init__(self, copies: bool = False) -> None:
        self._copies = copies

    def read(self) -> pa.Table:
        path = file("2019-Oct_first17434.csv.gz", "rees46_oct2019_sample")
        convert = csv.ConvertOptions(
            column_types={"event_time": pa.string()} | {name: pa.string() for name in TEXTS},
            strings_can_be_null=True,
            null_values=[""],
        )
        found = csv.read_csv(path, convert_options=convert)
        time = pc.strptime(found["event_time"], "%Y-%m-%d %H:%M:%S UTC", "ms").cast(pa.int64())
        rows = pa.table(
            {
                "time": time,
                "user": found["user_id"],
                "item": found["product_id"],
                "type": pc.index_in(found["event_type"], pa.array(list(TYPE_OF))),
                "category": found["category_id"],
                "price": found["price"].cast(pa.float64()),
            }
            | {name: found[name] for name in TEXTS}
        )
        return rows if self._copies else first_of_copies(rows, rows.column_names)

    def shape(self, rows: pa.Table) -> pa.RecordBatch:
        session = hash_strings(rows["user_session"]).view(np.int64)
        cents = np.round(rows["price"].to_numpy() * 100).astype(np.int64)
        identity = ints(rows, "time", "user", "item", "type")
        return batch(
            rows.num_rows,
            event_id=columns.event_ids(self.name, *identity, session, cents),
            user_id=columns.text(rows["user"]),
            event_type=columns.named(rows["type"].to_numpy(), tuple(TYPE_OF.values())),
            event_time=rows["time"].combine_chunks().cast(pa.timestamp("ms")),
            item_id=columns.text(rows["item"]),
            category_id=columns.text(rows["category"]),
            price=rows["price"].combine_chunks(),
            session_id=rows["user_session"].combine_chunks(),
            properties=columns.properties(
                rows.num_rows,
                category_code=rows["category_code"].combine_chunks(),
                brand=rows["brand"].combine_chunks(),
            ),
        )
