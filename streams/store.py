"""One partition's RocksDB: cold sequence rows, contacts, and how far both changelogs have been read.

Keys carry a one-byte prefix: `s` sequence row, `c` contact, `m` meta. Everything of one commit is one WriteBatch, so
the offsets in the store never run ahead of or behind the rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from rocksdict import BlockBasedOptions, Cache, Options, Rdict, WriteBatch

SEQUENCE, CONTACT, META = b"s", b"c", b"m"
CHECKPOINT_KEY = b"\x00checkpoint"  # no user_id starts with a zero byte: decode refuses control characters


class StoreProblem(RuntimeError):
    """The store cannot be opened or read; the message says what to do."""


class Store:
    """RocksDB of one partition with bounded memory: `block_cache` + 2 × `write_buffer` bytes."""

    def __init__(self, folder: Path, block_cache: int, write_buffer: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_write_buffer_size(write_buffer)
        options.set_max_write_buffer_number(2)
        options.set_max_open_files(256)
        table = BlockBasedOptions()
        table.set_block_cache(Cache(block_cache))
        table.set_bloom_filter(10, False)
        options.set_block_based_table_factory(table)
        try:
            self._db = Rdict(str(folder), options)
        except Exception as problem:
            raise StoreProblem(
                f"cannot open the store in {folder}: {problem}. If another worker uses this folder give each worker its "
                "own INTENTFLOW_DATA_DIR; if the files are damaged delete the folder: it is rebuilt from the changelog"
            ) from None

    def sequences(self, users: list[bytes]) -> list[bytes | None]:
        """Stored rows by shopper, None where there is none: one multi-get."""
        return cast("list[bytes | None]", self._db.get([SEQUENCE + user for user in users]))

    def contacts(self, users: list[str]) -> list[bytes | None]:
        """Stored contacts by shopper, None where there is none."""
        return cast("list[bytes | None]", self._db.get([CONTACT + user.encode() for user in users]))

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
        self._db.write(batch)

    def close(self) -> None:
        self._db.close()


class Checkpoint:
    """What a restart needs beside the rows: where to redo from. One JSON record in the sequences changelog."""

    def __init__(self, redo: int, source: int, release: str) -> None:
        self.redo, self.source, self.release = redo, source, release

    def encode(self) -> bytes:
        return json.dumps({"redo": self.redo, "source": self.source, "release": self.release}).encode()

    @staticmethod
    def decode(value: bytes) -> Checkpoint:
        fields = json.loads(value)
        return Checkpoint(int(fields["redo"]), int(fields["source"]), str(fields["release"]))
