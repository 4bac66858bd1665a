"""Harm to table files is done to those that count: damage to these is always said."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.store import Store
from tests.faults.harms.disks import live_tables, spoil

ROWS = {b"shopper-%d" % number: bytes([number]) * 2_000 for number in range(50)}


def opened(stores: Path) -> Store:
    return Store(stores / "events-0", 1 << 20, 1 << 20, "cluster/topic/0")


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


@pytest.fixture
def stores(tmp_path: Path) -> Path:
    """One store with its rows in table files, one that was begun and holds its identity only, one that is none."""
    store = opened(tmp_path)
    store.write(ROWS, {}, {"sequences": 50})
    store.close()
    Store(tmp_path / "events-1", 1 << 20, 1 << 20, "cluster/topic/1").close()
    (tmp_path / "events-2").mkdir()
    return tmp_path


def orphan(stores: Path) -> Path:
    """A table file that no manifest names, as a flush leaves it that kill -9 cut off."""
    return Path(shutil.copy(live_tables(stores)[0], stores / "events-0" / "000999.sst"))


def test_only_tables_with_rows_that_a_manifest_names_count(stores: Path) -> None:
    left = orphan(stores)
    found = live_tables(stores)
    assert found
    assert left not in found
    assert {file.parent.name for file in found} == {"events-0"}


def test_tables_of_a_store_in_use_can_be_told(stores: Path) -> None:
    store = opened(stores)
    assert live_tables(stores)
    assert store.sequences([b"shopper-7"]) == [ROWS[b"shopper-7"]]
    store.close()


@pytest.mark.parametrize("harm", [cut, spoil])
def test_harm_to_the_tables_that_count_is_said(
    harm: Callable[[Path], None], stores: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for file in live_tables(stores):
        harm(file)
    opened(stores).close()
    assert "is damaged" in caplog.text


def test_harm_to_what_a_flush_left_behind_is_none(stores: Path, caplog: pytest.LogCaptureFixture) -> None:
    cut(orphan(stores))
    store = opened(stores)
    assert store.meta("sequences") == 50
    assert not caplog.text
    store.close()
