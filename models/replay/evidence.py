"""What speaks for a challenger: what it said beside the champion on the same rows, held against what then happened.

shadow-predictions ─┐                         archive after both had learnt ─► both score it offline ─┐
predictions ────────┴─► rows matured by now ─► Evidence ◄─────────────────────────────────────────────┘

A shadow run is the better evidence: it is what live workers said. Where it has too few matured rows, or there was none, the
archive stands in: both releases score it, and are judged on the time that neither learnt from.
"""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from models import engine, promotion
from models.promotion import Standing
from models.release import Release, ReleaseProblem
from models.replay import archive, retained, source
from models.replay.dataset import Sequences, build
from models.replay.history import DAY_MS
from models.replay.matured import matured
from models.replay.paired import Paired, paired
from models.replay.predicted import COLUMNS, Predicted, published
from models.replay.predicted import offline as score_offline
from models.replay.rule import promotable
from models.replay.source import Interval, SourceProblem, iso
from models.survival import TASKS
from schemas.settings import Settings
from schemas.topics import Topics

HISTORY_DAYS = 365  # that build state before the time that is judged offline
PREDICTIONS, SHADOW = "predictions", "shadow_predictions"  # kinds in the archive


class NotBetter(ReleaseProblem):
    """A release that may not be promoted; the message has the figures, and what to do."""


@dataclass(frozen=True)
class Evidence:
    """how: "in shadow" or "offline". over: the moments judged. found: by task; those without matured rows are missing."""

    how: str
    champion: str
    challenger: str
    over: Interval
    found: dict[str, Paired]

    def to_json(self) -> dict[str, Any]:
        return {
            "how": self.how,
            "champion": self.champion,
            "challenger": self.challenger,
            "over": [iso(self.over.start), iso(self.over.stop)],
            "tasks": {name: one.to_json() for name, one in self.found.items()},
        }


class Live:
    """What workers published and what shoppers did, up to the newest event, from the archive or from retained topics."""

    def __init__(self, settings: Settings, topics: bool = False, over: Interval | None = None) -> None:
        """over: moments to judge; by default the last `judged_days`. SourceProblem when there are no events."""
        self._settings, self._topics = settings, topics
        interval = over or (Interval(1, _now(settings)) if topics else _newest(settings))
        self._run = f"live-{time.time_ns()}"
        dropped: Counter[str] = Counter()
        batches = (
            retained.read_events(settings, interval, self._run, dropped)
            if topics
            else archive.read_events(settings, interval)
        )
        usable = source.usable(batches, source.bounds(settings), interval, dropped)
        self.sequences = build(usable, settings.ring_events, dropped)
        newest = int(self.sequences.events["time"].max()) + 1
        oldest = (
            max(interval.start, newest - round(settings.judged_days * DAY_MS)) if over is None else over.start
        )
        self.over = Interval(min(oldest, newest - 1), newest)

    def said(self, kind: str, release: str) -> Predicted | None:
        """By one release, as PREDICTIONS or in SHADOW; None where nothing is left of it."""
        try:
            tables = [table.filter(pc.equal(table["release"], release)) for table in self._tables(kind)]
            return published(tables, self.sequences) if any(table.num_rows for table in tables) else None
        except SourceProblem:
            if self._topics or archive.newest_day(self._settings, kind) is not None:
                raise
            return None  # nothing of this kind was ever archived

    def _tables(self, kind: str) -> Iterator[pa.Table]:
        columns = [*COLUMNS, "release"]
        if not self._topics:
            yield from archive.read(self._settings, kind, self.over, columns)
            return
        names = Topics(self._settings)
        topic = names.predictions if kind == PREDICTIONS else names.shadow_predictions
        for table in retained.read_predictions(self._settings, topic, self._run):
            yield table.select(columns)


def in_shadow(live: Live, champion: str, challenger: str) -> Evidence | None:
    """From what both said live; None when one of them said nothing."""
    first, second = live.said(PREDICTIONS, champion), live.said(SHADOW, challenger)
    if first is None or second is None:
        return None
    return Evidence(
        "in shadow", champion, challenger, live.over, _found(live.sequences, first, second, live.over)
    )


def offline(
    settings: Settings, champion: Release, challenger: Release, sequences: Sequences | None = None
) -> Evidence:
    """From scoring the archive (or these sequences) with both, judged on the time that neither learnt from.

    SourceProblem when there is no such time.
    """
    since = max(source.moment(one.card.data_until) for one in (champion, challenger))
    until = _newest(settings).stop if sequences is None else int(sequences.events["time"].max()) + 1
    if until <= since:
        raise SourceProblem(
            f"{champion.id} or {challenger.id} learnt from everything up to {iso(since)}, and there is nothing after it to "
            "judge them on: archive more, or train with an earlier --train-until"
        )
    if sequences is None:
        interval, dropped = Interval(since - HISTORY_DAYS * DAY_MS, until), Counter[str]()
        usable = source.usable(
            archive.read_events(settings, interval), source.bounds(settings), interval, dropped
        )
        sequences = build(usable, settings.ring_events, dropped)
        until = int(sequences.events["time"].max()) + 1
    over = Interval(since, max(until, since + 1))
    first, second = (_scored(settings, one, sequences, since) for one in (champion, challenger))
    return Evidence("offline", champion.id, challenger.id, over, _found(sequences, first, second, over))


def permit(
    settings: Settings,
    release: Release,
    now: Standing,
    sequences: Sequences | None = None,
    topics: bool = False,
) -> str:
    """Why `release` may take the champion's place: the note for its record. NotBetter says why not, and what to do.

    The rule is in rule.py. A first release needs no evidence. sequences: what was trained and evaluated on, so that it need
    not be read again; then there is no shadow run to look for.
    """
    if now.champion is None:
        return "first release"
    if release.id in now.withdrawn:
        raise NotBetter(
            f"{release.id} was withdrawn ({now.withdrawn[release.id].note}): it is promoted again only with --force WHY"
        )
    evidence = _gather(settings, release, now.champion.open(), sequences, topics)
    judged = evidence.found.get(settings.judged_task)
    if judged is None:
        raise _no_evidence(release, f"no row of {settings.judged_task} has matured within {evidence.over}")
    verdict = promotable(judged, settings)
    if verdict.good:
        loss = judged.difference.log_loss
        return (
            f"better than {now.champion.release} {evidence.how}: log loss of {judged.task} {loss.value:+.5f} "
            f"({loss.low:+.5f} … {loss.high:+.5f}) on {judged.rows:,} rows"
        )
    lines = "\n".join(f"  {line}" for line in verdict.why)
    mend = (
        "train a better one, or promote it all the same with --force WHY"
        if verdict.enough
        else f"wait for labels to mature (`intentflow models challenge {release.id}`, then `intentflow models compare`), "
        "or promote it all the same with --force WHY"
    )
    raise NotBetter(
        f"{release.id} is not better than {now.champion.release} by the rule ({evidence.how}, {evidence.over}):\n{lines}\n{mend}"
    )


def _gather(
    settings: Settings, release: Release, champion: Release, sequences: Sequences | None, topics: bool
) -> Evidence:
    """In shadow where that has rows enough, else offline; the one there is where only one is."""
    shadow = None
    if sequences is None:
        try:
            shadow = in_shadow(Live(settings, topics), champion.id, release.id)
        except SourceProblem as problem:
            if topics:
                raise _no_evidence(release, str(problem)) from None
        judged = None if shadow is None else shadow.found.get(settings.judged_task)
        if shadow is not None and (topics or (judged is not None and judged.rows >= settings.judged_rows)):
            return shadow
    try:
        return offline(settings, champion, release, sequences)
    except SourceProblem as problem:
        if shadow is not None:
            return shadow
        raise _no_evidence(release, str(problem)) from None


def _no_evidence(release: Release, why: str) -> NotBetter:
    return NotBetter(
        f"nothing says that {release.id} is better than the release in use ({why}); run it in shadow with `intentflow models "
        f"challenge {release.id}` and archive what is published, or promote it all the same with --force WHY"
    )


def _found(
    sequences: Sequences, champion: Predicted, challenger: Predicted, over: Interval
) -> dict[str, Paired]:
    rows = [matured(sequences, [champion, challenger], task, over) for task in TASKS]
    return {one.task: paired(one) for one in rows if len(one)}


def _scored(settings: Settings, release: Release, sequences: Sequences, since: int) -> Predicted:
    backend = engine.load(release.uri, "onnx", "cpu", settings.engine_threads)
    return score_offline(sequences, backend, release.card.features, since)


def _newest(settings: Settings) -> Interval:
    """The last `judged_days` of the archive's events."""
    stop = archive.newest_day(settings, "events")
    if stop is None:
        raise SourceProblem(
            f"archive {settings.archive_uri}: no events in it; archive them with `intentflow archive`, or read what Kafka "
            "retains with --topics"
        )
    return Interval(stop - round(settings.judged_days * DAY_MS), stop)


def _now(settings: Settings) -> int:
    return round((time.time() + settings.event_max_ahead_s) * 1000) + 1


def standing(settings: Settings) -> Standing:
    """As `promotion.standing`, ReleaseProblem when nothing is promoted."""
    now = promotion.standing(settings)
    if now.champion is None:
        raise ReleaseProblem(
            f"model {settings.model_name}: nothing is promoted; see `intentflow models list`"
        )
    return now
