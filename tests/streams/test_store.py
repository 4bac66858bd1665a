"""What a store does when its files are not what it wrote, or are not its own."""

import logging
from pathlib import Path

import pytest

from streams.store import Checkpoint, Store, StoreDamaged, StoreProblem


def opened(folder: Path, identity: str = "cluster/topic/0") -> Store:
    return Store(folder, 1 << 20, 1 << 20, identity)


def filled(folder: Path) -> None:
    store = opened(folder)
    for at in range(20):
        store.write({b"user-%d" % at: bytes([at]) * 5000}, {b"user": b"contact"}, {"sequences": at + 1})
    store.close()


def test_what_was_written_is_there_after_closing_without_a_log_of_its_own(tmp_path: Path) -> None:
    filled(tmp_path / "db")
    store = opened(tmp_path / "db")
    assert store.sequences([b"user-3", b"nobody"]) == [b"\x03" * 5000, None]
    assert store.contacts(["user"]) == [b"contact"]
    assert store.meta("sequences") == 20
    store.close()


@pytest.mark.parametrize("name", ["CURRENT", "*.sst"])
def test_cut_files_are_found_said_and_the_store_begins_anew(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    filled(tmp_path / "db")
    for path in (tmp_path / "db").glob(name):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with caplog.at_level(logging.ERROR):
        store = opened(tmp_path / "db")
    assert store.meta("sequences") is None
    assert store.sequences([b"user-3"]) == [None]
    assert "is damaged" in caplog.text
    assert "rebuilt from the changelogs" in caplog.text
    store.close()


def test_a_cut_manifest_leaves_an_earlier_store_that_knows_that_it_is_earlier(tmp_path: Path) -> None:
    filled(tmp_path / "db")
    (manifest,) = (tmp_path / "db").glob("MANIFEST-*")
    manifest.write_bytes(manifest.read_bytes()[: manifest.stat().st_size // 2])
    store = opened(tmp_path / "db")
    assert (store.meta("sequences"), store.sequences([b"user-3"])) == (None, [None])
    store.close()


def test_a_damaged_block_is_found_when_it_is_read(tmp_path: Path) -> None:
    filled(tmp_path / "db")
    (table,) = (tmp_path / "db").glob("*.sst")
    data = bytearray(table.read_bytes())
    for at in range(len(data) // 3, len(data) // 2, 64):  # past the block with the identity
        data[at] ^= 0xFF
    table.write_bytes(bytes(data))
    store = opened(tmp_path / "db")
    with pytest.raises(StoreDamaged, match="damaged"):
        store.sequences([b"user-%d" % at for at in range(20)])


def test_a_store_of_another_partition_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    filled(tmp_path / "db")
    with caplog.at_level(logging.ERROR):
        store = opened(tmp_path / "db", "cluster/topic/1")
    assert store.meta("sequences") is None
    assert "belongs to cluster/topic/0, not to cluster/topic/1" in caplog.text
    store.close()


def test_a_store_in_use_is_refused_and_left_alone(tmp_path: Path) -> None:
    store = opened(tmp_path / "db")
    store.write({b"user": b"row"}, {}, {})
    with pytest.raises(StoreProblem, match="INTENTFLOW_DATA_DIR"):
        opened(tmp_path / "db")
    assert store.sequences([b"user"]) == [b"row"]
    store.close()


def test_destroyed_it_leaves_nothing(tmp_path: Path) -> None:
    store = opened(tmp_path / "db")
    store.destroy()
    assert not (tmp_path / "db").exists()


def test_a_checkpoint_of_an_earlier_version_says_nothing_of_the_timers_time() -> None:
    found = Checkpoint.decode(b'{"redo": 7, "source": 9, "release": "r"}')
    assert (found.redo, found.source, found.release, found.watermark) == (7, 9, "r", 0)
    found.watermark = 12
    assert vars(Checkpoint.decode(found.encode())) == vars(found)
