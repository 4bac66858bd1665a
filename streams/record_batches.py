"""Record batches made ready away from the event loop: filled, compressed and numbered in a thread.

aiokafka compresses a batch where it sends it, on the event loop; at full load that kept every other partition's
transaction waiting. A producer that only one transaction at a time uses knows its next sequence numbers beforehand, so a
batch can be finished before it is handed over. The client's own record batch is extended here: tests pin what is used.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

from aiokafka.codec import zstd_encode
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.structs import TopicPartition

Record = tuple[bytes | None, bytes | None]
State = tuple[int, int, int]  # producer id, epoch, sequence number of the first record
# The client's level 3 makes predictions no smaller and takes two to three times as long.
ZSTD_LEVEL = 1
compressing: Any = sys.modules[DefaultRecordBatchBuilder.__module__]
compressing.zstd_encode = partial(zstd_encode, level=ZSTD_LEVEL)


class SealedBatch(BatchBuilder):  # type: ignore[misc]
    """A record batch that is complete before the client gets it."""

    def fill(self, records: Sequence[Record], start: int, timestamp: int) -> int:
        """Takes records from `start` on until the batch is full; returns the place of the next one."""
        append = self._builder.append
        for offset, (key, value) in enumerate(records[start:] if start else records):
            if append(offset, timestamp, key=key, value=value, headers=[]) is None:
                break
            self._relative_offset = offset + 1
        return start + self._relative_offset

    def seal(self, state: State) -> None:
        """Compress and number it."""
        self._state = state
        self._builder.set_producer_state(*state)
        self._build()

    def _set_producer_state(self, *state: int) -> None:
        if state != self._state:
            raise RuntimeError(
                f"record batch was numbered {self._state}, the producer is at {state}: somebody else used the producer"
            )


def sealed(
    records: Sequence[Record],
    tp: TopicPartition,
    timestamp: int,
    size: int,
    compression: str | None,
    transaction_manager: Any,
    transactional: bool,
) -> list[SealedBatch]:
    """Record batches of at most `size` bytes for the next records of `tp`; timestamp: ms.

    transaction_manager: aiokafka's, of the producer that will send them next.
    """
    batches = []
    sequence, at = transaction_manager.sequence_number(tp), 0
    code = _CODES[compression]
    while at < len(records):
        batch = SealedBatch(size, code, is_transactional=transactional)
        at = batch.fill(records, at, timestamp)
        batch.seal((transaction_manager.producer_id, transaction_manager.producer_epoch, sequence))
        sequence += batch.record_count()
        if sequence > 2**31 - 1:
            sequence -= 2**32
        batches.append(batch)
    return batches


_CODES = {
    None: 0,
    "gzip": DefaultRecordBatch.CODEC_GZIP,
    "snappy": DefaultRecordBatch.CODEC_SNAPPY,
    "lz4": DefaultRecordBatch.CODEC_LZ4,
    "zstd": DefaultRecordBatch.CODEC_ZSTD,
}
