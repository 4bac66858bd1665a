"""What must be: rows, scored events and dead letters computed from the log alone, in one go and without a worker."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np

from models.carried import carried
from models.engine import Engine, load
from models.release import Release
from models.usable import Bounds
from schemas.codec import Codec
from schemas.registry import FileRegistry
from schemas.settings import Settings
from streams import sequences
from streams.decode import Decoder, Events
from streams.rows import Rows
from streams.sequences import Sequences
from tests.faults.crashing_worker import spoiling
from tests.faults.shop import Raw

PORTION = 4_096
PATCHING = threading.Lock()  # a patch is everybody's, and scenarios are judged side by side


@dataclass
class Truth:
    """Of a whole log. predicted: event ids that get a prediction; dead: (partition, offset, reason), ordered."""

    rows: dict[int, dict[bytes, np.void]] = field(default_factory=dict)  # by partition and shopper
    predicted: list[str] = field(default_factory=list)
    dead: list[tuple[int, int, str]] = field(default_factory=list)
    types: list[np.ndarray] = field(default_factory=list)  # of the predicted events, u1 (N,)
    scores: list[np.ndarray] = field(default_factory=list)  # of their tasks, f4 (N, tasks)
    offsets: dict[str, tuple[int, int]] = field(
        default_factory=dict
    )  # event id -> (partition, offset) of the first


class Machine:
    """One partition's rows and the model, without a worker around them."""

    def __init__(
        self, settings: Settings, engine: Engine, spec: Any, size: int, stored: dict[bytes, bytes]
    ) -> None:
        self.engine = engine
        self.rows = Rows(
            carried(engine, max(size, 1)),
            settings.ring_events,
            lambda users: [stored.get(user) for user in users],
        )
        self.sequences = Sequences(self.rows, engine, spec)

    def apply(self, events: Events) -> Any:
        return self.sequences.apply(self.rows.locate(events.users), events.events, events.ids, events.offsets)

    def packed(self, users: Sequence[bytes]) -> dict[bytes, np.void]:
        found = self.rows.packed(self.rows.locate(users))
        return dict(zip(users, found, strict=True))


class Judge:
    """Decodes logs and applies them with one release.

    spoiled: prices of events that a crashing_worker makes dead letters, by reason.
    """

    def __init__(self, settings: Settings, release: Release, spoiled: dict[str, float] | None = None) -> None:
        self._settings, self._card = settings, release.card
        self.engine = load(release.uri)
        bounds = Bounds(settings.event_max_age_days, settings.event_max_ahead_s)
        codec = Codec(FileRegistry(), "behavior_event")
        self._decoder = Decoder(codec, bounds, int(settings.max_event_bytes))
        self._spoiled = spoiled or {}

    def truth(self, log: Sequence[Raw]) -> Truth:
        """From the log alone: every partition from its first record on."""
        truth = Truth()
        for number in range(self._settings.partitions):
            records = [raw for raw in log if raw.partition == number]
            users = list({raw.key for raw in records if raw.key is not None})
            machine = self._machine(len(users), {})
            for start in range(0, len(records), PORTION):
                self._portion(truth, machine, number, records[start : start + PORTION])
            packed = machine.packed(users)
            truth.rows[number] = {user: row for user, row in packed.items() if row["meta"]["applied"] >= 0}
        truth.dead.sort()
        return truth

    def recovered(
        self, log: Sequence[Raw], number: int, stored: dict[bytes, bytes], redo: int
    ) -> dict[bytes, np.void]:
        """Rows of a partition as a worker would have them that starts from `stored` and redoes from `redo`."""
        records = [raw for raw in log if raw.partition == number]
        users = sorted({raw.key for raw in records if raw.key is not None} | stored.keys())
        machine = self._machine(len(users), stored)
        after = [raw for raw in records if raw.offset >= redo]
        for start in range(0, len(after), PORTION):
            events, _ = self._decode(number, after[start : start + PORTION])
            self._apply(machine, events)
        return {user: row for user, row in machine.packed(users).items() if row["meta"]["applied"] >= 0}

    def _machine(self, users: int, stored: dict[bytes, bytes]) -> Machine:
        return Machine(self._settings, self.engine, self._card.features, users, stored)

    def _portion(self, truth: Truth, machine: Machine, number: int, records: Sequence[Raw]) -> None:
        events, dead = self._decode(number, records)
        applied = self._apply(machine, events)
        ids = events.columns.column("event_id").to_pylist()
        for event_id, offset in zip(ids, events.offsets.tolist(), strict=True):
            truth.offsets.setdefault(event_id, (number, offset))
        scored = np.flatnonzero(applied.scored)
        truth.predicted += [ids[at] for at in scored.tolist()]
        truth.dead += dead
        truth.dead += [(number, offset, "not_finite") for offset in events.offsets[applied.failed].tolist()]
        truth.types.append(events.events["type"][scored])
        truth.scores.append(self.engine.heads(applied.trunk[scored]).tasks)

    def _apply(self, machine: Machine, events: Events) -> Any:
        """As workers do it whose model gives NaN for the same events; these leave the hidden state as it was."""
        featurize = spoiling(math.nan, self._spoiled.get("not_finite", math.nan))
        with PATCHING, patch.object(sequences, "featurize", featurize):
            return machine.apply(events)

    def _decode(self, number: int, records: Sequence[Raw]) -> tuple[Events, list[tuple[int, int, str]]]:
        """The events that change rows, and the dead letters of those that do not."""
        raw = [
            SimpleNamespace(
                topic="",
                partition=number,
                offset=r.offset,
                timestamp=r.timestamp,
                key=r.key,
                value=r.value,
                headers=(),
            )
            for r in records
        ]
        events, dead = self._decoder.decode(raw)
        letters = {letter.record.offset: letter.reason for letter in dead}
        poisoned = events.events["price"] == np.float32(self._spoiled.get("poisoned", math.nan))
        if poisoned.any():
            letters |= dict.fromkeys(events.offsets[poisoned].tolist(), "poisoned")
            events, _ = self._decoder.decode([record for record in raw if record.offset not in letters])
        return events, [(number, offset, reason) for offset, reason in letters.items()]
