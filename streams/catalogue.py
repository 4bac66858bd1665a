"""What a list may show: the shop's own file of items, with availability, category and margin.

CSV or Parquet at a path or fsspec URL (setting catalogue_uri), which the shop's platform writes anew as often as it likes;
workers read it at start and again when it has changed. Columns: item_id; available (true when left out); category_id;
margin (shop's currency per piece). What is not in the file is not shown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import fsspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

COLUMNS = {
    "item_id": pa.string(),
    "available": pa.bool_(),
    "category_id": pa.string(),
    "margin": pa.float64(),
}


class CatalogueProblem(ValueError):
    """A catalogue that cannot be used; the message names the file, what is wrong and the mend."""


class Item(NamedTuple):
    """category: '' where the file names none. margin: at least 0; NaN where the file names none."""

    category: str
    margin: float


@dataclass(frozen=True)
class Catalogue:
    """The items that may be shown, by id."""

    items: Mapping[str, Item]
    most: float  # largest margin of one of them; 0 when no margin is known

    @classmethod
    def of(cls, items: Mapping[str, Item]) -> Catalogue:
        margins = [item.margin for item in items.values() if not math.isnan(item.margin)]
        return cls(items, max(margins, default=0.0))

    def worth(self, item: str, weight: float) -> float:
        """1 - weight + weight · margin / largest margin; an item of unknown margin stands as one of the largest."""
        found = self.items[item].margin
        if math.isnan(found) or not self.most:
            return 1.0
        return 1.0 - weight + weight * found / self.most


NOTHING = Catalogue({}, 0.0)


def version(uri: str) -> str:
    """Another text when the file has become another. Raises CatalogueProblem."""
    fs, path = fsspec.url_to_fs(uri)
    try:
        info = fs.info(path)
    except OSError as problem:
        raise CatalogueProblem(f"{uri}: cannot be read ({problem}); see INTENTFLOW_CATALOGUE_URI") from None
    return str(
        [info.get(name) for name in ("size", "mtime", "LastModified", "last_modified", "ETag", "md5Hash")]
    )


def read(uri: str) -> Catalogue:
    """The available items of the file. Raises CatalogueProblem."""
    fs, path = fsspec.url_to_fs(uri)
    try:
        with fs.open(path, "rb") as file:
            table = _parquet(file) if path.endswith(".parquet") else _csv(file)
        return _checked(uri, table)
    except (OSError, pa.ArrowException) as problem:
        why = str(problem).splitlines()[0]
        raise CatalogueProblem(
            f"{uri}: cannot be read ({why}); want CSV or Parquet with the columns {', '.join(COLUMNS)}"
        ) from None


def _parquet(file: Any) -> pa.Table:
    return pa.parquet.read_table(file)


def _csv(file: Any) -> pa.Table:
    return pa.csv.read_csv(file, convert_options=pa.csv.ConvertOptions(column_types=COLUMNS))


def _checked(uri: str, table: pa.Table) -> Catalogue:
    if "item_id" not in table.column_names:
        raise CatalogueProblem(f"{uri}: has no column item_id, only {', '.join(table.column_names)}; add it")
    columns = {
        name: (table[name].cast(kind).to_pylist() if name in table.column_names else [None] * len(table))
        for name, kind in COLUMNS.items()
    }
    found: dict[str, Item] = {}
    for row, (item, available, category, margin) in enumerate(zip(*columns.values(), strict=True), 1):
        if item is None or item in found:
            raise CatalogueProblem(
                f"{uri}: row {row}: item_id {item!r} is empty or there twice; keep one row an item"
            )
        if margin is not None and not 0 <= margin < math.inf:
            raise CatalogueProblem(
                f"{uri}: row {row}: margin {margin:g} of {item}; want 0 or more: make it not available if it must not be shown"
            )
        if available is not False:
            found[item] = Item(category or "", math.nan if margin is None else margin)
    return Catalogue.of(found)
