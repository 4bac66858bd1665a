"""`make bench-shadow`: what a challenger costs a worker, in CPU per event and in memory.

One worker's pass and the packing of what it publishes, in one thread and without a broker: the same batches go through a
partition with a challenger and one without, taking turns, so that a busy machine slows both. What is left out is sending
(aiokafka's event loop) and the broker, for which the bytes published stand here.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from aiokafka.structs import TopicPartition

from bench import report
from bench.deployment import policy_for, untrained_release
from bench.workload import Workload
from models.engine import load
from models.release import Release
from schemas.registry import FileRegistry
from schemas.settings import Settings
from streams.candidates import CompiledPolicy
from streams.challenger import Challenger
from streams.model import Model
from streams.opening import build, build_pass
from streams.record_batches import sealed
from streams.stages import Codecs
from streams.store import Store
from streams.transaction import BATCH_BYTES

SHOPPERS = 100_000
MOST = 2.0  # a second model may cost as much as everything did without it
WARM = 5  # batches that are not counted
NUMBERED = SimpleNamespace(producer_id=1, producer_epoch=0, sequence_number=lambda tp: 0)


class Side:
    """A partition with or without a challenger; `seconds` of CPU by part, `bytes` published by topic."""

    def __init__(
        self, settings: Settings, folder: Path, champion: Model, challenger: Challenger | None
    ) -> None:
        codecs = Codecs(FileRegistry())
        self._pass = build_pass(settings, codecs)
        self._pass.use(champion, CompiledPolicy(policy_for(), champion.engine.tasks), challenger)
        self._shoppers = build(
            settings, 0, champion, codecs, Store(folder, 1 << 26, 1 << 24), settings.hot_rows, 0, 0
        )
        self._settings, self.challenger = settings, challenger
        self.seconds: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()

    def take(self, records: list[Any]) -> None:
        begun = time.thread_time()
        (work,) = self._pass.process([(self._shoppers, records)])
        passed = time.thread_time()
        for name, found in [*work.records.items(), ("sequences", work.sequences_log())]:
            batches = sealed(
                found, TopicPartition(name, 0), 1, BATCH_BYTES, self._settings.compression, NUMBERED, True
            )
            self.bytes[name] += sum(batch.size() for batch in batches)
        packed = time.thread_time()
        self._shoppers.settle(work, {})
        self.seconds.update({"pass": passed - begun, "packing": packed - passed})

    def stages(self) -> dict[str, float]:
        return dict(self._pass.stages.seconds)


def batches(workload: Workload, size: int) -> Iterator[list[Any]]:
    codec, first = Codecs(FileRegistry()).behavior_event, 0
    for columns in workload.batches(codec.arrow_schema, size):
        values = codec.encode(columns)
        users = columns.column("user_id").to_pylist()
        yield [
            SimpleNamespace(
                partition=0,
                offset=first + at,
                timestamp=workload.end,
                key=user.encode(),
                value=value,
                headers=(),
            )
            for at, (user, value) in enumerate(zip(users, values, strict=True))
        ]
        first += len(values)


def model(release: Release) -> Model:
    return Model(load(release.uri), release.card)


def main() -> int:
    events = 100_000 if report.fast() else 400_000
    with tempfile.TemporaryDirectory(prefix="intentflow-bench-") as name:
        folder = Path(name)
        settings = Settings(releases_uri=str(folder / "releases"))
        champion, other = (model(untrained_release(settings, seed)) for seed in (0, 1))
        challenger = Challenger(other.engine.release_id, other)
        sides = {
            "without": Side(settings, folder / "without", champion, None),
            "with": Side(settings, folder / "with", champion, challenger),
        }
        counted = 0
        for number, records in enumerate(batches(Workload(SHOPPERS, events), settings.batch_records)):
            order = list(sides.values())
            for side in order if number % 2 else reversed(order):
                side.take(records)
            if number < WARM:
                for side in order:
                    side.seconds.clear()
                    side.bytes.clear()
                    side._pass.stages.seconds.clear()
            else:
                counted += len(records)
        if challenger.dropped:
            raise RuntimeError(f"the challenger was dropped: {challenger.dropped}")
    costs = {name: _costs(side, counted) for name, side in sides.items()}
    both = [costs[name]["pass_us"] + costs[name]["packing_us"] for name in ("with", "without")]
    state = challenger.model.engine.state_size * 4 + 8
    figures = {
        "workload": {"events": counted, "shoppers": SHOPPERS, "events_per_batch": settings.batch_records},
        "per_event_without": costs["without"],
        "per_event_with": costs["with"],
        "cpu_with_over_without": both[0] / both[1],
        "pass_with_over_without": costs["with"]["pass_us"] / costs["without"]["pass_us"],
        "memory_of_default_hot_rows_mib": state * settings.hot_rows / 2**20,
    }
    bars = [
        report.at_most("CPU of pass and packing, with a challenger over without", both[0] / both[1], MOST)
    ]
    return report.finish("shadow", figures, bars, {}, report.trial())


def _costs(side: Side, events: int) -> dict[str, float]:
    """µs of CPU per event by part and, of a wall clock, by stage; bytes published per event."""
    found = {f"{part}_us": seconds / events * 1e6 for part, seconds in side.seconds.items()}
    found |= {f"stage_{name}_us": seconds / events * 1e6 for name, seconds in side.stages().items()}
    return found | {"published_bytes": sum(side.bytes.values()) / events}


if __name__ == "__main__":
    sys.exit(main())
