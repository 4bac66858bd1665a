"""What the pass over a batch shares: the codecs of its topics and the clock of its stages."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from schemas.codec import Codec
from schemas.registry import Registry


class Codecs:
    """One codec per topic that the worker reads or writes."""

    def __init__(self, registry: Registry) -> None:
        self.behavior_event = Codec(registry, "behavior_event")
        self.prediction = Codec(registry, "prediction")
        self.decision = Codec(registry, "decision")
        self.intervention = Codec(registry, "intervention")
        self.dead_letter = Codec(registry, "dead_letter")
        self.contact = Codec(registry, "contact")


@dataclass(slots=True)
class Stages:
    """Seconds of compute time by stage, added up over batches."""

    seconds: dict[str, float] = field(default_factory=dict)

    def begin(self) -> Callable[[str], None]:
        """A function that books the time since its last call (or since now) on the stage it is given."""
        last = time.perf_counter()

        def lap(stage: str) -> None:
            nonlocal last
            now = time.perf_counter()
            self.seconds[stage] = self.seconds.get(stage, 0.0) + now - last
            last = now

        return lap
