"""What a peer has to know, as one JSON file: where to read and write, the model and what its inputs mean.

Peers run in environments of their own, in Python or Java: this file and the ONNX graph beside it are all they get.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True)
class Job:
    """Addresses, model and formats. `folder` is the peer's own, for its state; model is the file of the graph."""

    bootstrap: str
    group: str
    source: str
    predictions: str
    partitions: int
    folder: str
    model: str
    release_id: str
    tasks: tuple[str, ...]
    categories: tuple[str, ...]
    state_size: int
    ring: int
    features: dict[str, Any]
    event_types: tuple[str, ...]
    devices: tuple[str, ...]
    namespace: str  # UUID that prediction ids are made in
    prediction_schema_id: int
    schemas: dict[str, Any]  # behavior_event and prediction

    def write(self, path: Path) -> Path:
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False), encoding="utf-8")
        return path

    @classmethod
    def read(cls, path: str | Path) -> Self:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        return cls(**found | {"tasks": tuple(found["tasks"]), "categories": tuple(found["categories"])})
