"""The one pass over a batch of one partition: decode, rows, LSTM step, heads, decide, and what is to be published.

It runs in the compute thread and touches no event loop. `Work` is what it hands over: everything that has to be
committed together. State in memory is ahead of the log until that commit; when the commit fails, the partition is
dropped and opened again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from models.engine import Scores
from models.events import TYPE_CODE
from models.predictions import prediction_batch, prediction_ids
from streams.candidates import Texts
from streams.checkpoint import Checkpointer
from streams.contacts import FORGET, ContactBook, Said, read_consent
from streams.deadletters import dead_letters
from streams.decide import CompiledPolicy, Scored, decide
from streams.decode import Dead, Decoder, Events
from streams.following import Model
from streams.interventions import Decision, decision_row, intervention_row
from streams.rows import Rows, Slots
from streams.sequences import Applied, Sequences
from streams.stages import Codecs, Stages
from streams.store import CHECKPOINT_KEY, Store

Array = npt.NDArray[Any]
Record = tuple[bytes | None, bytes | None]
CONSENT, ERASURE = TYPE_CODE["consent"], TYPE_CODE["erasure"]


@dataclass(slots=True)
class Work:
    """What one batch produced. `records` by schema name, `sequences` and `contacts` as stored, by key, None deletes."""

    next_offset: int
    records: dict[str, list[Record]] = field(default_factory=dict)
    sequences: dict[bytes, bytes | None] = field(default_factory=dict)
    contacts: dict[bytes, bytes | None] = field(default_factory=dict)
    checkpoint: bytes | None = None
    events: int = 0
    live: bool = False  # something to commit; a batch of redo mostly has nothing
    oldest: int = 0  # record timestamp of the batch's first event, ms
    reasons: dict[str, int] = field(default_factory=dict)  # dropped, by reason
    decisions: list[Decision] = field(default_factory=list)
    applied: Applied | None = None

    def sequences_log(self) -> list[Record]:
        """Records for the sequences changelog: rows, and the checkpoint that they complete."""
        rows: list[Record] = list(self.sequences.items())
        return rows if self.checkpoint is None else [*rows, (CHECKPOINT_KEY, self.checkpoint)]


class Shoppers:
    """State of one partition's shoppers and the pass over their events.

    live_from: source offset below which events only build state (redo).
    """

    def __init__(
        self,
        model: Model,
        rows: Rows,
        sequences: Sequences,
        contacts: ContactBook,
        store: Store,
        decoder: Decoder,
        codecs: Codecs,
        checkpointer: Checkpointer,
        live_from: int,
        coalesce: bool = False,
    ) -> None:
        self._model, self.rows, self.sequences, self.contacts = model, rows, sequences, contacts
        self._store, self._decoder, self._codecs, self._checkpointer = store, decoder, codecs, checkpointer
        self.live_from, self._coalesce = live_from, coalesce
        self.policy: CompiledPolicy | None = None
        self.stages = Stages()

    def use(self, model: Model, policy: CompiledPolicy | None) -> None:
        """Between two batches: the release and the policy in force from now on."""
        if model is not self._model:
            self._model = model
            self.sequences.use(model.engine)
        self.policy = policy

    def process(self, records: Sequence[Any], undoable: bool = False) -> Work:
        """One batch of raw records in offset order. Raises only for faults of ours: every bad record is a dead letter.

        undoable: when it raises, rows and contacts are as they were before; else they are lost.
        """
        lap = self.stages.begin()
        events, dead = self._decoder.decode(records)
        lap("decode")
        slots = self.rows.locate(events.users)
        lap("rows")
        if not undoable:
            return self._process(records, events, dead, slots, lap)
        before = self.rows.copy(np.unique(slots))
        try:
            return self._process(records, events, dead, slots, lap)
        except Exception:
            self.rows.put_back(before)
            self.contacts.discard()
            raise

    def _process(
        self, records: Sequence[Any], events: Events, dead: list[Dead], slots: Array, lap: Any
    ) -> Work:
        applied = self.sequences.apply(slots, events.events, events.ids, events.offsets)
        lap("step")
        work = Work(
            int(records[-1].offset) + 1, events=len(events), oldest=int(records[0].timestamp), applied=applied
        )
        if work.next_offset > self.live_from:
            fresh = events.offsets >= self.live_from
            wanted = self._thin(slots, np.flatnonzero(applied.scored & fresh))
            at, scored = self._score(work, events, applied, wanted, lap)
            self._decide(work, scored, self._said(work, events, applied, fresh, at), lap)
            failed = np.union1d(np.flatnonzero(applied.failed & fresh), np.setdiff1d(wanted, at))
            dead = dead + _not_finite(records, events.offsets[failed])
            self._bury(work, [letter for letter in dead if letter.record.offset >= self.live_from], applied)
        self._checkpoint(work)
        work.live |= work.next_offset > self.live_from
        lap("checkpoint")
        return work

    def poisoned(self, record: Any, fault: Exception) -> Work:
        """In place of `process` for a record over which the pass raises: a dead letter, and no shopper's row changes."""
        work = Work(int(record.offset) + 1, oldest=int(record.timestamp))
        if work.next_offset > self.live_from:
            self._bury(work, [Dead(record, "poisoned", f"{type(fault).__name__}: {fault}")], None)
        self._checkpoint(work)
        work.live |= work.next_offset > self.live_from
        return work

    def idle(self, offset: int) -> Work:
        """No records for a while: go on with the checkpoint."""
        work = Work(offset)
        self._checkpoint(work)
        return work

    def settle(self, work: Work, last: dict[str, int]) -> None:
        """The transaction stands: into the store with it. last: last changelog offset by schema name."""
        meta = {name: offset + 1 for name, offset in last.items()}
        if meta or work.checkpoint is not None:
            self._store.write(work.sequences, work.contacts, meta, work.checkpoint)
        self.rows.settled()
        self.contacts.settle()

    def _score(
        self, work: Work, events: Events, applied: Applied, at: Array, lap: Any
    ) -> tuple[Array, Scored | None]:
        """Predictions of the events `at`; returns those that the heads can score, and what `decide` needs of them."""
        if not len(at):
            return at, None
        engine = self._model.engine
        scores = engine.heads(applied.trunk if len(at) == len(events) else applied.trunk[at])
        finite = scores.finite()
        if not finite.all():
            at, scores = at[finite], scores.only(finite)
        columns = events.columns if len(at) == len(events) else events.columns.take(at)
        lap("heads")
        now = int(time.time() * 1000)
        ids = prediction_ids(columns.column("event_id"))
        codec = self._codecs.prediction
        values = codec.encode(prediction_batch(codec.arrow_schema, columns, ids, scores, engine, now))
        users = events.users if len(at) == len(events) else [events.users[i] for i in at.tolist()]
        work.records["prediction"] = list(zip(users, values, strict=True))
        lap("encode")
        return at, None if self.policy is None else self._scored(columns, ids, events.events[at], scores)

    def _scored(self, columns: Any, ids: Any, events: Array, scores: Scores) -> Scored:
        engine, card = self._model
        return Scored(
            user_ids=Texts(columns.column("user_id")),
            event_ids=Texts(columns.column("event_id")),
            prediction_ids=Texts(ids),
            event_type=events["type"],
            event_time=events["time"],
            tasks=engine.tasks,
            scores=scores.tasks,
            top=scores.top,
            top_scores=scores.top_scores,
            categories=engine.categories,
            popular=card.popular,
            release=engine.release_id,
        )

    def _said(self, work: Work, events: Events, applied: Applied, fresh: Array, at: Array) -> list[Said]:
        """Consents and erasures of the batch, in order; they count from the next of the events `at` on."""
        types = events.events["type"]
        taken = applied.scored | applied.failed | (types == ERASURE)
        rows = np.flatnonzero(np.isin(types, (CONSENT, ERASURE)) & taken & fresh)
        if not len(rows):
            return []
        found = [
            (
                events.users[row].decode(),
                _told(events.columns, row) if types[row] == CONSENT else (FORGET, True),
            )
            for row in rows.tolist()
        ]
        strange = sum(word is None for _, word in found)
        if strange:
            work.reasons["consent_not_understood"] = strange
        before = np.searchsorted(at, rows).tolist()
        return [Said(row, user, *word) for row, (user, word) in zip(before, found, strict=True) if word]

    def _decide(self, work: Work, scored: Scored | None, said: list[Said], lap: Any) -> None:
        if scored is None or self.policy is None:
            for word in said:  # what a shopper said counts even before there is a policy
                self.contacts.hear(word)
        else:
            scored.said = said
            work.decisions = decide(scored, self.contacts, self.policy, int(time.time() * 1000))
        if work.decisions:
            self._publish_decisions(work)
        self._keep_contacts(work)
        lap("decide")

    def _publish_decisions(self, work: Work) -> None:
        decisions = work.decisions
        rows = self._codecs.decision.encode_rows([decision_row(decision) for decision in decisions])
        work.records["decision"] = [(d.user_id.encode(), row) for d, row in zip(decisions, rows, strict=True)]
        emitted = [d.intervention for d in decisions if d.intervention is not None]
        values = self._codecs.intervention.encode_rows([intervention_row(item) for item in emitted])
        work.records["intervention"] = [
            (item.user_id.encode(), value) for item, value in zip(emitted, values, strict=True)
        ]

    def _keep_contacts(self, work: Work) -> None:
        changes = self.contacts.changes()
        if changes:
            values = self.contacts.encode(changes)
            work.contacts = {user.encode(): value for (user, _), value in zip(changes, values, strict=True)}

    def _bury(self, work: Work, dead: list[Dead], applied: Applied | None) -> None:
        if dead:
            work.records["dead_letter"] = list(
                dead_letters(dead, self._codecs.dead_letter, int(time.time() * 1000))
            )
        for letter in dead:
            work.reasons[letter.reason] = work.reasons.get(letter.reason, 0) + 1
        if applied is not None and applied.doubles:
            work.reasons["double"] = applied.doubles

    def _checkpoint(self, work: Work) -> None:
        release = self._model.engine.release_id
        taken, checkpoint = self._checkpointer.share(time.monotonic(), work.next_offset, release)
        work.sequences = dict(self.rows.evicted)
        if len(taken):
            work.sequences.update(self.rows.take(taken))
        if checkpoint is not None:
            work.checkpoint = checkpoint.encode()
        work.live = bool(work.sequences) or work.checkpoint is not None

    def _thin(self, slots: Slots, at: Array) -> Array:
        """With `coalesce_predictions`: each shopper's last event of the batch."""
        if not self._coalesce:
            return at
        _, from_end = np.unique(slots[at][::-1], return_index=True)
        return np.sort(at[len(at) - 1 - from_end])


def _not_finite(records: Sequence[Any], offsets: Array) -> list[Dead]:
    """Dead letters of the events at these offsets, whose scores are no numbers."""
    if not len(offsets):
        return []
    wanted = set(offsets.tolist())
    message = "the release gives no finite score for this event; promote another release, then redrive"
    return [Dead(record, "not_finite", message) for record in records if record.offset in wanted]


def _told(columns: Any, row: int) -> tuple[str, bool] | None:
    return read_consent(dict(columns.column("properties")[row].as_py() or {}))
