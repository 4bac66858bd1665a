"""Harm to a worker's local files, and to the changelog that they are rebuilt from."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from rocksdict import AccessType, Options, Rdict

from tests.faults.harms.common import STARTED_S, Impossible, alone
from tests.faults.run import Run
from tests.faults.shop import until

DAMAGED, STRANGE = "is damaged", "belongs to"  # what a worker says of such a store


@contextlib.contextmanager
def _powered_off(run: Run, says: str = "") -> Iterator[Path]:
    """Worker 0 is killed; its stores are the caller's; then it starts, has to make progress, and to say that."""
    with run.workers.holding(run.workers.slots[0]) as slot:
        slot.kill()
        read = len(slot.whole_log())
        yield slot.stores
    run.progress()
    if says:
        until(
            lambda: says in slot.whole_log()[read:], lambda: f"{says!r} in\n{run.workers.tail()}", STARTED_S
        )


def folder_deleted(run: Run) -> None:
    """The disk is lost."""
    with _powered_off(run) as stores:
        shutil.rmtree(stores, ignore_errors=True)


def folder_truncated(run: Run) -> None:
    """Files are cut to half, as after a crash of a machine whose disk lied."""
    _wait_for_tables(run)
    # A manifest that ends early is an older, smaller store to RocksDB: it is read on, and nobody has to say anything.
    tables = run.rng.random() < 0.5
    with _powered_off(run, says=DAMAGED if tables else "") as stores:
        for file in live_tables(stores) if tables else stores.rglob("MANIFEST-*"):
            os.truncate(file, file.stat().st_size // 2)


def folder_older(run: Run) -> None:
    """The disk is as it was some time ago: a snapshot was put back."""
    with run.workers.holding(run.workers.slots[0]) as slot:
        slot.kill()
        snapshot = slot.stores.with_name("snapshot")
        shutil.copytree(slot.stores, snapshot, dirs_exist_ok=True)
    run.progress()
    run.pause(2.0, 5.0)
    with _powered_off(run) as stores:
        shutil.rmtree(stores)
        snapshot.rename(stores)


def folder_of_another_cluster(run: Run) -> None:
    """The disk is from a deployment of the same name before its topics were made anew."""
    if run.site.past is None:
        raise Impossible("no shop came before this one")
    past, topic = run.site.past
    with _powered_off(run, says=STRANGE) as stores:
        shutil.rmtree(stores, ignore_errors=True)
        for number in range(run.shop.settings.partitions):
            shutil.copytree(
                past / f"{topic}-{number}", stores / f"{run.shop.topics.behavior_events}-{number}"
            )


def folder_of_another_partition(run: Run) -> None:
    """Two partitions' folders have changed places."""
    alone(run)  # a folder without a store in it belongs to nobody
    with _powered_off(run, says=STRANGE) as stores:
        one, other = (
            stores / f"{run.shop.topics.behavior_events}-{number}" for number in run.rng.sample(range(4), 2)
        )
        aside = one.with_name("aside")
        one.rename(aside)
        other.rename(one)
        aside.rename(other)


def table_files_corrupted(run: Run) -> None:
    """Bytes all over RocksDB's table files flip: whatever is read from them is wrong."""
    _wait_for_tables(run)
    with _powered_off(run, says=DAMAGED) as stores:
        for file in live_tables(stores):
            spoil(file)


def spoil(file: Path, count: int = 16, every: int = 1024) -> None:
    """Flip `count` bytes in a row of `every` so many."""
    held = bytearray(file.read_bytes())
    for start in range(0, len(held), every):
        held[start : start + count] = bytes(byte ^ 0xFF for byte in held[start : start + count])
    file.write_bytes(held)


def disk_full(run: Run) -> None:
    """The disk holds less than the stores need; later there is room again."""
    slot = run.workers.slots[0]
    folder = Path(slot.settings.data_dir)
    with run.workers.holding(slot):
        slot.kill()
        read = len(slot.whole_log())
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _mount(folder, "1m")
    try:
        until(
            lambda: "No space left" in slot.whole_log()[read:],
            lambda: f"the disk is full\n{run.workers.tail()}",
            STARTED_S,
        )
        run.pause(0.0, 3.0)
        _mount(folder, "512m", "remount")
        run.progress()
    finally:
        with run.workers.holding(slot):
            slot.kill()
            subprocess.run(["umount", str(folder)], check=True)
    run.progress()


def changelog_compacted(run: Run) -> None:
    """The changelog is compacted, and then read by a worker whose disk is lost."""
    topic = run.shop.topics.sequences_changelog
    for changelog in (topic, run.shop.topics.contacts_changelog):
        run.shop.configure(
            changelog, segment_ms="1000", min_cleanable_dirty_ratio="0.01", max_compaction_lag_ms="1000"
        )
    cleaned = run.site.broker.folder / "data" / "cleaner-offset-checkpoint"
    until(
        lambda: cleaned.exists() and any(line.startswith(topic) for line in cleaned.read_text().splitlines()),
        "the broker compacted the changelog",
        STARTED_S,
    )
    folder_deleted(run)


def _wait_for_tables(run: Run) -> None:
    """Until worker 0 has rows in table files that count; such rows stay on disk from then on, whenever it is killed."""
    stores = alone(run).stores
    until(lambda: bool(live_tables(stores)), "a store has a table file with rows", STARTED_S)


def live_tables(stores: Path) -> list[Path]:
    """The table files with rows that RocksDB would read; a store that changes while we look has none.

    Others lie beside them, and harm to these is no harm: what a flush had written when the worker was killed, and tables
    that were merged into others, are in no manifest and go when the store is opened; a table with the identity alone has
    no rows.
    """
    found: list[Path] = []
    for current in stores.glob("*/CURRENT"):
        folder = current.parent
        try:
            store = Rdict(str(folder), Options(raw_mode=True), access_type=AccessType.read_only())
        except Exception:
            continue
        tables = [table["name"] for table in store.live_files() if table["num_entries"] > 1]
        store.close()
        found += [folder / name.lstrip("/") for name in tables]
    return found


def _mount(folder: Path, size: str, *options: str) -> None:
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", ",".join([*options, f"size={size}"]), "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Impossible(f"a small disk cannot be mounted here: {done.stderr.strip()}")
