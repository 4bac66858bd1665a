"""The archive again as what `decide` is given: scored events in the order of each partition's log.

events since the archive begins ─► what was known of each shopper ─┐
predictions of the interval ───────────────────────────────────────┼─► Past.batches() ─► decide
consent and time zones told, interventions sent before ────────────┘

Partition by partition, as live: the time that timers go by, and what a budget has left, are of a partition.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import fsspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from models.events import EVENT_TYPES, TYPE_CODE
from models.ids import intervention_id
from models.replay import archive, source
from models.replay.dataset import Sequences, build
from models.replay.source import Batch, Interval, SourceProblem, moment
from schemas.settings import Settings
from streams.candidates import Scored
from streams.contacts import WITHHELD, ZONE, Said, Sent, read_consent
from streams.local_time import known_zone
from streams.whatif.rebuilt import card_of, rebuilt, taken

Array = npt.NDArray[Any]

CONSENT = TYPE_CODE["consent"]
DAY_MS = 86_400_000
PARTITION = 48  # bits of an offset, in Sequences.place
DECISIONS = [
    "decision_id",
    "event_id",
    "user_id",
    "event_time",
    "campaign",
    "kind",
    "outcome",
    "reason",
    "policy_version",
    "arm",
    "intervention_id",
    "send_after",
    "learned_version",
]
_LATELY = {"learned_version": ""}  # columns that decisions of earlier days lack, and what they stand for
_PREDICTIONS = [
    "event_id",
    "prediction_id",
    "scored_at",
    "release",
    "scores",
    "next_categories",
    "next_category_scores",
]


@dataclass(frozen=True)
class Past:
    """What is known of an interval. Rows (N,) are the events that a policy is to hear, by shopper and log.

    scored: per release, its rows; release, place: of each row, where it stands there; rows: of each, where it stands in
    the sequences; scored_at int64 (N,), ms. said: what shoppers told, with its place in the log, rising. sent:
    interventions before the interval by partition, oldest first. decided: rows of `decisions` by decision id.
    known_until: ms, purchases are known up to here.
    """

    interval: Interval
    sequences: Sequences
    scored: dict[str, Scored]
    release: Array
    place: Array
    rows: Array
    scored_at: Array
    said: list[tuple[int, Said]]
    sent: dict[int, list[tuple[str, Sent]]]
    decided: dict[str, dict[str, Any]]
    known_until: int
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self, by_clock: bool) -> Iterator[tuple[int, Scored, int, int | None]]:
        """(partition, batch, clock of its scoring, the same where it is to be looked at), partition by partition in the
        order of the log; times in ms.

        by_clock: a batch holds what was scored at one moment, as live, for policies that look at a clock. Else only
        events whose own clock ran ahead are looked at by that of their scoring, each alone.
        """
        assert self.sequences.place is not None
        order = np.argsort(self.sequences.place[self.rows])
        rows, release, clock = self.rows[order], self.release[order], self.scored_at[order]
        log, ahead = self.sequences.place[rows], self.sequences.events["time"][rows] > clock
        partition = log >> PARTITION
        new = ahead | np.append(True, ahead[:-1])
        new[1:] |= (release[1:] != release[:-1]) | (partition[1:] != partition[:-1])
        new[1:] |= by_clock & (clock[1:] != clock[:-1])
        starts = np.flatnonzero(new).tolist()
        heard = 0
        for first, stop in zip(starts, [*starts[1:], len(self)], strict=True):
            number = int(partition[first])
            last = stop == len(self) or partition[stop] != number
            until = (number + 1) << PARTITION if last else int(log[stop])
            words = []
            while heard < len(self.said) and self.said[heard][0] < until:
                at, word = self.said[heard]
                heard += 1
                if at >> PARTITION == number:
                    words.append(word._replace(row=int(np.searchsorted(log[first:stop], at))))
            whole = self.scored[str(release[first])]
            batch = replace(taken(whole, self.place[order[first:stop]]), said=words)
            looked_at = by_clock or bool(ahead[first])
            yield number, batch, int(clock[first]), int(clock[first]) if looked_at else None


def read(settings: Settings, interval: Interval, event_types: set[str] | None, window_ms: int) -> Past:
    """The past of the interval; event_types: those that a policy is to hear, None: all. window_ms: purchases are wanted
    until so long after it. Raises SourceProblem when the archive lacks events, predictions or decisions of it.
    """
    words: dict[str, list[tuple[str, str]]] = {}
    sequences = _sequences(settings, interval, window_ms, words)
    events = sequences.events
    wanted = interval.holds(events["time"])
    if event_types is not None:
        wanted &= np.isin(events["type"], [EVENT_TYPES.index(name) for name in event_types])
    assert sequences.event_ids is not None
    assert sequences.place is not None
    rows = np.flatnonzero(wanted)
    predictions = _predictions(settings, interval, sequences.event_ids.take(pa.array(rows)))
    found = pc.index_in(sequences.event_ids.take(pa.array(rows)), value_set=predictions["event_id"])
    known = np.asarray(found.is_valid())
    rows, at = rows[known], found.drop_null().to_numpy().astype(np.int64)
    predictions = predictions.take(pa.array(at)).combine_chunks()
    release = np.array(predictions["release"].to_pylist(), object)
    place, scored, notes = np.empty(len(rows), np.int64), {}, []
    for name in dict.fromkeys(release.tolist()):
        mine = np.flatnonzero(release == name)
        place[mine] = np.arange(len(mine))
        card = card_of(settings, name)
        if card is None:
            notes.append(
                f"release {name} is not under {settings.releases_uri}: lists have no items in this replay"
            )
        scored[name] = rebuilt(sequences, rows[mine], predictions.take(pa.array(mine)), name, card, words)
    decided, sent = _decided(settings, interval, sequences)
    return Past(
        interval=interval,
        sequences=sequences,
        scored=scored,
        release=release,
        place=place,
        rows=rows,
        scored_at=predictions["scored_at"].cast(pa.int64()).to_numpy(),
        said=_said(sequences, rows, words, interval.stop),
        sent=sent,
        decided=decided,
        known_until=_known_until(settings, interval.stop + window_ms, int(events["time"].max())),
        notes=notes,
    )


def _sequences(
    settings: Settings, interval: Interval, window_ms: int, words: dict[str, list[tuple[str, str]]]
) -> Sequences:
    """Every usable event from the archive's begin until the last window closes; its properties into `words`, by event."""
    reach = Interval(_first_day(settings), interval.stop + window_ms)
    dropped: Counter[str] = Counter()

    def batches() -> Iterator[Batch]:
        found = archive.read_events(settings, reach)
        for batch in source.usable(found, source.bounds(settings), reach, dropped):
            _note(batch.events, words)
            yield batch

    return build(batches(), settings.ring_events, dropped, keep_ids=True)


def _known_until(settings: Settings, wanted: int, latest: int) -> int:
    """All of what came up to `wanted`, ms, is known when the archive has a later day; else up to its latest event."""
    after = archive.newest_day(settings, "events")
    return wanted if after is not None and after - DAY_MS >= wanted else latest


def _note(events: pa.RecordBatch, words: dict[str, list[tuple[str, str]]]) -> None:
    properties = events.column("properties")
    filled = pc.greater(pc.list_value_length(properties.cast(_PAIRS)), 0).fill_null(False)
    rows = pa.array(np.flatnonzero(filled.to_numpy(zero_copy_only=False)))
    ids, texts = events.column("event_id").take(rows).to_pylist(), properties.take(rows).to_pylist()
    words.update(zip(ids, texts, strict=True))


_PAIRS = pa.list_(pa.struct([pa.field("key", pa.string(), nullable=False), pa.field("value", pa.string())]))


def _first_day(settings: Settings) -> int:
    fs, root = fsspec.url_to_fs(settings.archive_uri)
    folder = f"{root}/events"
    days = [path.rpartition("day=")[2] for path in fs.ls(folder, detail=False)] if fs.isdir(folder) else []
    if not days:
        raise SourceProblem(
            f"archive {settings.archive_uri}: no events; archive them first (`intentflow archive --until-end`), or set "
            "INTENTFLOW_ARCHIVE_URI"
        )
    return moment(min(days))


def _predictions(settings: Settings, interval: Interval, ids: pa.Array) -> pa.Table:
    wanted = pc.SetLookupOptions(ids)
    parts = [
        table.filter(pc.is_in(table["event_id"], options=wanted))
        for table in archive.read(settings, "predictions", interval, _PREDICTIONS)
    ]
    return pa.concat_tables(parts).combine_chunks()


def _said(
    sequences: Sequences, rows: Array, words: dict[str, list[tuple[str, str]]], until: int
) -> list[tuple[int, Said]]:
    """Consent and time zones that the shoppers of these rows told before `until`, ms, with their place in the log."""
    types, found = sequences.events["type"], []
    assert sequences.event_ids is not None
    assert sequences.place is not None
    told = pc.is_in(sequences.event_ids, pa.array([*words], pa.string()))
    telling = (np.asarray(told) | (types == CONSENT)) & (sequences.events["time"] < until)
    telling &= np.isin(sequences.shopper, sequences.shopper[rows])
    for at in np.flatnonzero(telling).tolist():
        place, properties = (
            int(sequences.place[at]),
            dict(words.get(sequences.event_ids[at].as_py(), ())),
        )
        user = sequences.users[int(sequences.shopper[at])].as_py()
        consent = read_consent(properties) if types[at] == CONSENT else None
        if consent is not None:
            found.append((place, Said(0, user, *consent)))
        if ZONE in properties and known_zone(properties[ZONE]):
            found.append((place, Said(0, user, ZONE, True, properties[ZONE])))
    return sorted(found, key=lambda pair: pair[0])


def _decided(
    settings: Settings, interval: Interval, sequences: Sequences
) -> tuple[dict[str, dict[str, Any]], dict[int, list[tuple[str, Sent]]]]:
    """Decisions of the interval by their id, and what was sent before it to whom, or withheld by an arm that is learnt, by
    partition, oldest first."""
    reach = Interval(_first_day(settings), interval.stop)
    decided, sent = {}, []
    for table in archive.read(settings, "decisions", reach, DECISIONS, _LATELY):
        times = table["event_time"].cast(pa.int64())
        within = table.filter(interval.holds(times.to_numpy()))
        decided.update({row["decision_id"]: row for row in within.to_pylist()})
        withheld = pc.and_(
            pc.equal(table["reason"].cast(pa.string()), "control"),
            pc.not_equal(table["learned_version"].cast(pa.string()), ""),
        )
        counted = pc.or_(pc.equal(table["outcome"].cast(pa.string()), "emit"), withheld)
        for row in table.filter(pc.and_(pc.less(times, interval.start), counted)).to_pylist():
            later = row["send_after"] and _ms(row["send_after"])
            time = _ms(row["event_time"])
            kind = row["kind"] if row["outcome"] == "emit" else WITHHELD
            name = intervention_id(row["event_id"], row["campaign"])
            entry = Sent(row["campaign"], kind, time, name, later if later != time else None)
            sent.append((row["user_id"], entry))
    sent.sort(key=lambda pair: pair[1].time)
    assert sequences.place is not None
    first = sequences.bounds[:-1]
    begins, places = sequences.events["time"][first].tolist(), (sequences.place[first] >> PARTITION).tolist()
    known = dict(zip(sequences.users.to_pylist(), zip(begins, places, strict=True), strict=True))
    by_partition: dict[int, list[tuple[str, Sent]]] = {}
    for user, entry in sent:
        begin, partition = known.get(user, (np.inf, 0))
        if entry.time >= begin:
            by_partition.setdefault(partition, []).append((user, entry))
    return decided, by_partition


def _ms(time: datetime) -> int:
    return round(time.timestamp() * 1000)
