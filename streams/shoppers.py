"""One partition's shoppers: their rows, contacts and store, and what a pass over their events does to them.

`Work` is what a pass hands over for a partition: everything that has to be committed together. State in memory is ahead
of the log until that commit; when the commit fails, the partition is dropped and opened again.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from models.events import TYPE_CODE
from streams.candidates import Scored
from streams.challenger import Challenger
from streams.checkpoint import Checkpointer
from streams.choosing import Deciding
from streams.contacts import FORGET, ZONE, Contact, ContactBook, Said
from streams.deadletters import dead_letters
from streams.decide import CompiledPolicy, decide, ring
from streams.decode import Dead, Events
from streams.interventions import Decision, decision_row, intervention_row
from streams.local_time import known_zone
from streams.model import Model
from streams.rows import Rows
from streams.said import told, zones_told
from streams.sequences import Applied, Sequences
from streams.shadow import Shadow
from streams.stages import Codecs
from streams.store import CHECKPOINT_KEY, Store

Array = npt.NDArray[Any]
Record = tuple[bytes | None, bytes | None]
CONSENT, ERASURE = TYPE_CODE["consent"], TYPE_CODE["erasure"]


@dataclass(slots=True)
class Work:
    """What a pass made of one partition. `records` by the name that Topics.of_schema knows; `sequences` and `contacts` as
    stored, by key, None deletes."""

    next_offset: int
    records: dict[str, list[Record]] = field(default_factory=dict)
    sequences: dict[bytes, bytes | None] = field(default_factory=dict)
    contacts: dict[bytes, bytes | None] = field(default_factory=dict)
    changes: list[tuple[str, Contact]] = field(default_factory=list)  # the contacts, as they are in memory
    checkpoint: bytes | None = None
    events: int = 0
    live: bool = False  # something to commit; a batch of redo mostly has nothing
    oldest: int = 0  # record timestamp of the batch's first event, ms
    reasons: dict[str, int] = field(default_factory=dict)  # dropped, by reason
    decisions: list[Decision] = field(default_factory=list)
    timers: dict[str, int] = field(default_factory=dict)  # armed, cancelled, rang
    applied: Applied | None = None

    def sequences_log(self) -> list[Record]:
        """Records for the sequences changelog: rows, and the checkpoint that they complete."""
        rows: list[Record] = list(self.sequences.items())
        return rows if self.checkpoint is None else [*rows, (CHECKPOINT_KEY, self.checkpoint)]


class Shoppers:
    """State of one partition's shoppers. It is changed by the compute thread; only `settle` runs in another.

    live_from: source offset below which events only build state (redo).
    """

    def __init__(
        self,
        model: Model,
        rows: Rows,
        sequences: Sequences,
        contacts: ContactBook,
        store: Store,
        codecs: Codecs,
        checkpointer: Checkpointer,
        live_from: int,
    ) -> None:
        self._model, self.rows, self.sequences, self.contacts = model, rows, sequences, contacts
        self._store, self._codecs, self._checkpointer = store, codecs, checkpointer
        self.live_from = live_from
        self.shadow: Shadow | None = None
        self._settled: deque[Work] = deque()  # in the store; memory need not hold it any longer

    def use(self, model: Model, challenger: Challenger | None = None) -> None:
        """Between two passes: the release in use from now on, and the one in shadow."""
        if model is not self._model:
            self._model = model
            self.sequences.use(model.engine, model.card.features)
            if self.shadow is not None:
                self.shadow.beside(model.card.features)
        if challenger is None or challenger.dropped:
            self.shadow = None
        elif self.shadow is None or self.shadow.challenger is not challenger:
            try:
                self.shadow = Shadow(challenger, self.rows, model.card.features)
            except Exception as fault:
                self.shadow = None
                challenger.drop(fault)

    def begin(self, records: Sequence[Any], applied: Applied | None = None) -> Work:
        """The work of a pass over these records."""
        while self._settled:
            work = self._settled.popleft()
            self.rows.settled(work.sequences)
            self.contacts.settle(work.changes)
        if not records:
            return Work(0)
        return Work(int(records[-1].offset) + 1, oldest=int(records[0].timestamp), applied=applied)

    def decide(
        self, work: Work, scored: Scored | None, said: list[Said], policy: CompiledPolicy | None
    ) -> None:
        """Decisions for the scored events, and what shoppers said, into contacts and work."""
        if scored is None or policy is None:
            for word in said:  # what a shopper said counts even before there is a policy
                self.contacts.hear(word)
        else:
            scored.said = said
            now = int(time.time() * 1000)
            work.decisions = decide(scored, self.contacts, policy, now, now)
        self._publish_decisions(work)

    def said(self, work: Work, events: Events, fresh: Array, at: Array) -> list[Said]:
        """Consents, erasures and time zones among the events, in order; they count from the next of the events `at` on."""
        applied, types = work.applied, events.events["type"]
        assert applied is not None
        zones = zones_told(events.columns)
        telling = (types == CONSENT) | (types == ERASURE)
        telling[list(zones)] = True
        rows = np.flatnonzero(telling)
        if not len(rows):
            return []
        taken = applied.scored | applied.failed | (types == ERASURE)
        rows = rows[(taken & fresh)[rows]]
        before = np.searchsorted(at, rows).tolist()
        found, strange = [], {"consent_not_understood": 0, "time_zone_not_understood": 0}
        for row, place in zip(rows.tolist(), before, strict=True):
            user = events.users[row].decode()
            if types[row] == ERASURE:
                found.append(Said(place, user, FORGET, True))
            elif types[row] == CONSENT:
                word = told(events.columns, row)
                strange["consent_not_understood"] += word is None
                found += [Said(place, user, *word)] if word else []
            if row in zones and types[row] != ERASURE:
                known = known_zone(zones[row])
                strange["time_zone_not_understood"] += not known
                found += [Said(place, user, ZONE, True, zones[row])] if known else []
        work.reasons.update({reason: count for reason, count in strange.items() if count})
        return found

    def bury(self, work: Work, dead: list[Dead]) -> None:
        """Dead letters into the work, but for those of redo."""
        dead = [letter for letter in dead if letter.record.offset >= self.live_from]
        if dead:
            work.records["dead_letter"] = list(
                dead_letters(dead, self._codecs.dead_letter, int(time.time() * 1000))
            )
        for letter in dead:
            work.reasons[letter.reason] = work.reasons.get(letter.reason, 0) + 1
        if work.applied is not None and work.applied.doubles:
            work.reasons["double"] = work.applied.doubles

    def end(self, work: Work) -> Work:
        """Contacts that changed, and this batch's share of the checkpoint, into the work, which is complete then."""
        work.changes = self.contacts.end()
        if work.changes:
            values = self.contacts.encode(work.changes)
            work.contacts = {
                user.encode(): value for (user, _), value in zip(work.changes, values, strict=True)
            }
        work.contacts |= self.contacts.timers.end() | self.contacts.budgets.end()
        work.timers = self.contacts.timers.counts()
        release = self._model.engine.release_id
        taken, checkpoint = self._checkpointer.share(time.monotonic(), work.next_offset, release)
        work.sequences = self.rows.outgoing()
        if len(taken):
            work.sequences.update(self.rows.take(taken))
        if checkpoint is not None:
            checkpoint.watermark = self.contacts.timers.watermark
            work.checkpoint = checkpoint.encode()
        work.live |= bool(work.sequences or work.contacts) or work.checkpoint is not None
        return work

    def poisoned(self, record: Any, fault: Exception) -> Work:
        """In place of a pass over a record that raises: a dead letter, and no shopper's row changes."""
        work = self.begin([record])
        work.live = work.next_offset > self.live_from
        self.bury(work, [Dead(record, "poisoned", f"{type(fault).__name__}: {fault}")])
        return self.end(work)

    def idle(self, offset: int, policy: CompiledPolicy | None = None, clock: int = 0) -> Work:
        """No records for a while: timers ring by the clock, ms of event time, and the checkpoint goes on."""
        work = self.begin([])
        work.next_offset = offset
        if policy is not None and offset >= self.live_from:
            now, timers = int(time.time() * 1000), self.contacts.timers
            timers.come_to(clock)
            work.decisions = list(ring(Deciding(self.contacts, policy, now), timers.watermark, now))
            self._publish_decisions(work)
        return self.end(work)

    def settle(self, work: Work, last: dict[str, int]) -> None:
        """The transaction stands: into the store with it. last: last changelog offset by schema name."""
        meta = {name: offset + 1 for name, offset in last.items()}
        if meta or work.checkpoint is not None:
            self._store.write(work.sequences, work.contacts, meta, work.checkpoint)
        self._settled.append(work)

    def _publish_decisions(self, work: Work) -> None:
        decisions = work.decisions
        if not decisions:
            return
        rows = self._codecs.decision.encode_rows([decision_row(decision) for decision in decisions])
        work.records["decision"] = [(d.user_id.encode(), row) for d, row in zip(decisions, rows, strict=True)]
        emitted = [d.intervention for d in decisions if d.intervention is not None]
        values = self._codecs.intervention.encode_rows([intervention_row(item) for item in emitted])
        work.records["intervention"] = [
            (item.user_id.encode(), value) for item, value in zip(emitted, values, strict=True)
        ]
