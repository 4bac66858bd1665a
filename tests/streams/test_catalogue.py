"""Reading the shop's file of items: what it may look like, and what is refused with which words."""

import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streams.catalogue import CatalogueProblem, Item, read, version


def test_csv_and_parquet_say_the_same(tmp_path: Path) -> None:
    text = "item_id,available,category_id,margin\n007,true,BEEF,2.5\nb,false,BEEF,1\nc,true,,\n"
    (tmp_path / "items.csv").write_text(text, encoding="utf-8")
    table = {
        "item_id": ["007", "b", "c"],
        "available": [True, False, True],
        "category_id": ["BEEF", "BEEF", None],
        "margin": [2.5, 1.0, None],
    }
    pq.write_table(pa.table(table), tmp_path / "items.parquet")
    for name in ("items.csv", "items.parquet"):
        found = read(str(tmp_path / name))
        assert set(found.items) == {"007", "c"}  # an id stays text
        assert found.items["007"] == Item("BEEF", 2.5)
        assert math.isnan(found.items["c"].margin)
        assert found.most == 2.5


def test_a_file_of_ids_alone_says_that_all_of_them_are_there(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item_id\na\nb\n", encoding="utf-8")
    found = read(str(tmp_path / "items.csv"))
    assert set(found.items) == {"a", "b"}
    assert found.worth("a", 1.0) == 1.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id\na\n", "has no column item_id"),
        ("item_id\na\na\n", "row 2: item_id 'a' is empty or there twice"),
        ("item_id,margin\na,-1\n", "row 1: margin -1 of a"),
        ("item_id,available\na,perhaps\n", "cannot be read"),
        ("", "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_mend(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "items.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CatalogueProblem, match=words):
        read(str(path))


def test_a_version_changes_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    with pytest.raises(CatalogueProblem, match="INTENTFLOW_CATALOGUE_URI"):
        version(str(path))
    path.write_text("item_id\na\n", encoding="utf-8")
    first = version(str(path))
    assert version(str(path)) == first
    path.write_text("item_id\na\nb\n", encoding="utf-8")
    assert version(str(path)) != first
