"""One partition's RocksDB: cold sequence rows, contacts, and how far both changelogs have been read.

Keys carry a one-byte prefix: `s` sequence row, `c` contact, `m` meta. Everything of one commit is one WriteBatch, so
the offsets in the store never run ahead of or behind the rows. RocksDB's own write-ahead log is off: what a crash
takes from its memory is in the changelogs, and the offsets that it took with it say from where to read them again.

A store that is damaged, or that belongs to another topic or partition, is said to be so, deleted and begun anew.
"""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from rocksdict import BlockBasedOptions, Cache, Options, Rdict, WriteBatch, WriteOptions

log = logging.getLogger("intentflow.store")
SEQUENCE, CONTACT, META = b"s", b"c", b"m"
IDENTITY = META + b"identity"
CHECKPOINT_KEY = b"\x00checkpoint"  # no user_id starts with a zero byte: decode refuses control characters
# What RocksDB says when nothing is wrong with the files: another process has them, or the machine denies something.
DENIED = ("lock hold", "lock file", "No space left", "Permission denied", "Read-only", "Too many open files")


class StoreProblem(RuntimeError):
    """The store cannot be opened, read or written; the message says what to do."""


class StoreDamaged(StoreProblem):
    """The store's files are not what was written: `destroy` it and open it again."""

    def __init__(self, message: str, folder: Path | None = None) -> None:
        super().__init__(message)
        self.folder = folder


class Store:
    """RocksDB of one partition with bounded memory: `block_cache` + 2 × `write_buffer` bytes.

    identity: names topics and partition; a folder with another one is not used. Raises StoreProblem when the folder
    cannot be used at all.
    """

    def __init__(self, folder: Path, block_cache: int, write_buffer: int, identity: str = "") -> None:
        self.folder, self._sizes, self._identity = folder, (block_cache, write_buffer), identity.encode()
        self._unlogged = WriteOptions()
        self._unlogged.disable_wal = True  # type: ignore[method-assign, assignment]  # a property in truth
        try:
            self._open()
        except StoreDamaged as damage:
            log.error("%s: deleted, it is rebuilt from the changelogs", damage)
            self._delete()
            self._open()

    def _open(self) -> None:
        self._db = self._try(lambda: Rdict(str(self.folder), _options(*self._sizes)))
        try:
            self._check_identity()
        except StoreDamaged:
            self._db.close()
            raise

    def _check_identity(self) -> None:
        found = self._try(lambda: self._db.get(IDENTITY))
        if found is None:
            self._try(lambda: self._db.put(IDENTITY, self._identity))
        elif found != self._identity:
            raise StoreDamaged(
                f"the store in {self.folder} belongs to {found.decode()}, not to {self._identity.decode()}",
                self.folder,
            )

    def _try(self, act: Callable[[], Any]) -> Any:
        try:
            return act()
        except Exception as problem:
            if any(word in str(problem) for word in DENIED):
                raise StoreProblem(
                    f"the store in {self.folder} cannot be used: {problem}. If another worker uses this folder give each "
                    "worker its own INTENTFLOW_DATA_DIR; else give this one space and rights"
                ) from None
            raise StoreDamaged(f"the store in {self.folder} is damaged: {problem}", self.folder) from None

    def destroy(self) -> None:
        """Close the store and delete its files."""
        self._db.close()
        self._delete()

    def _delete(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def sequences(self, users: list[bytes]) -> list[bytes | None]:
        """Stored rows by shopper, None where there is none: one multi-get. Raises StoreDamaged, as `contacts` does."""
        return self._get([SEQUENCE + user for user in users])

    def contacts(self, users: list[str]) -> list[bytes | None]:
        """Stored contacts by shopper, None where there is none."""
        return self._get([CONTACT + user.encode() for user in users])

    def _get(self, keys: list[bytes]) -> list[bytes | None]:
        return cast("list[bytes | None]", self._try(lambda: self._db.get(keys)))

    def records(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Key and value of all contact records whose key begins so, by key."""
        begin = CONTACT + prefix
        for key, value in self._try(lambda: self._db.items(from_key=begin)):
            if not key.startswith(begin):
                return
            yield key.removeprefix(CONTACT), value

    def meta(self, name: str) -> int | None:
        """A kept number: `sequences` and `contacts` hold the next changelog offset to read."""
        value = self._db.get(META + name.encode())
        return None if value is None else int(value)

    def checkpoint(self) -> Checkpoint | None:
        value = self._db.get(META + b"checkpoint")
        return None if value is None else Checkpoint.decode(value)

    def write(
        self,
        sequences: Mapping[bytes, bytes | None],
        contacts: Mapping[bytes, bytes | None],
        meta: Mapping[str, int],
        checkpoint: bytes | None = None,
    ) -> None:
        """All of it or nothing. A None value deletes."""
        batch = WriteBatch(raw_mode=True)
        for prefix, rows in ((SEQUENCE, sequences), (CONTACT, contacts)):
            for key, value in rows.items():
                if value is None:
                    batch.delete(prefix + key)
                else:
                    batch.put(prefix + key, value)
        for name, number in meta.items():
            batch.put(META + name.encode(), str(number).encode())
        if checkpoint is not None:
            batch.put(META + b"checkpoint", checkpoint)
        self._try(lambda: self._db.write(batch, self._unlogged))

    @contextlib.contextmanager
    def filling(self) -> Iterator[None]:
        """While many rows are written at once: merging the files that they make takes as long as writing them, and is
        left for afterwards."""
        self._try(lambda: self._db.set_options({"disable_auto_compactions": "true"}))
        try:
            yield
        finally:
            self._try(lambda: self._db.set_options({"disable_auto_compactions": "false"}))

    def close(self) -> None:
        self._db.close()


def _options(block_cache: int, write_buffer: int) -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(write_buffer)
    options.set_max_write_buffer_number(2)
    options.set_max_open_files(256)
    # Writes never wait for files to be merged: a commit waits for them. `filling` leaves at most some 60 files.
    options.set_level_zero_slowdown_writes_trigger(96)
    options.set_level_zero_stop_writes_trigger(160)
    table = BlockBasedOptions()
    table.set_block_cache(Cache(block_cache))
    table.set_bloom_filter(10, False)
    options.set_block_based_table_factory(table)
    return options


class Checkpoint:
    """What a restart needs beside the rows: where to redo from, and how far the timers' time had come, ms. One JSON record
    in the sequences changelog."""

    def __init__(self, redo: int, source: int, release: str, watermark: int = 0) -> None:
        self.redo, self.source, self.release, self.watermark = redo, source, release, watermark

    def encode(self) -> bytes:
        return json.dumps(vars(self)).encode()

    @staticmethod
    def decode(value: bytes) -> Checkpoint:
        fields = json.loads(value)
        watermark = int(fields.get("watermark", 0))  # not in those of earlier versions
        return Checkpoint(int(fields["redo"]), int(fields["source"]), str(fields["release"]), watermark)
