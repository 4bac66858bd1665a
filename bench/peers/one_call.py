"""The job for one event from bytes to bytes: what the Python peers call once per record.

Imports only what each of their environments has: numpy, ONNX Runtime, fastavro and this project's featurizer formula.
"""

from __future__ import annotations

import io
from typing import Any

import fastavro
import numpy as np
import onnxruntime as ort

from bench.peers.job import Job
from bench.peers.one_event import OneEvent
from models.engine import Scores
from models.featurizer import FeatureSpec

HEADER = 5  # bytes of the Confluent wire format before the Avro body
_OUTPUTS = ["tasks", "survival", "top", "top_scores", "next_state"]


class OneCall(OneEvent):
    """OneEvent with Avro around it, and step and heads in a single call of ONNX Runtime."""

    def __init__(self, job: Job) -> None:
        super().__init__(job, FeatureSpec(**job.features), job.ring)
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(job.model, options, providers=["CPUExecutionProvider"])
        self._reading = fastavro.parse_schema(job.schemas["behavior_event"])
        self._writing = fastavro.parse_schema(job.schemas["prediction"])
        self._header = b"\0" + job.prediction_schema_id.to_bytes(4, "big")

    def handle(self, stored: bytes | None, value: bytes) -> tuple[bytes, bytes | None]:
        """The shopper's row after the event in `value`, and the prediction's record (None for a double)."""
        return self.handle_event(stored, self.event(value))

    def handle_event(self, stored: bytes | None, event: dict[str, Any]) -> tuple[bytes, bytes | None]:
        """`handle` for an event that is decoded already."""
        row, prediction = self.score(stored, event)
        return row, None if prediction is None else self._record(prediction)

    def event(self, value: bytes) -> dict[str, Any]:
        """A record's event."""
        return fastavro.schemaless_reader(io.BytesIO(value[HEADER:]), self._reading, None)  # type: ignore[return-value]

    def _record(self, prediction: dict[str, Any]) -> bytes:
        out = io.BytesIO()
        out.write(self._header)
        fastavro.schemaless_writer(out, self._writing, prediction)
        return out.getvalue()

    def _predict(self, ids: list[int], dense: list[float], hidden: np.ndarray) -> tuple[Scores, np.ndarray]:
        feed = {
            "ids": np.array([ids], np.int32),
            "dense": np.array([dense], np.float32),
            "state": hidden[None],
        }
        *scores, after = self._session.run(_OUTPUTS, feed)
        return Scores(*scores), after[0]


def user(value: bytes) -> str:
    """The shopper of a record: its second field, a string as the first. The rest need not be decoded for it."""
    at, length = _length(value, HEADER)
    at, length = _length(value, at + length)
    return value[at : at + length].decode()


def _length(value: bytes, at: int) -> tuple[int, int]:
    """Where a string that starts at `at` has its first byte, and how many it has (Avro's zig-zag varint)."""
    number = shift = 0
    while True:
        byte = value[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return at, number >> 1
