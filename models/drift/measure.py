"""The drift of a release over an interval: every column against its reference, calibration, changes in time; a verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models import survival
from models.drift import adwin, ks, psi
from models.drift.calibration import Matured, matured, outcomes
from models.drift.reference import Column, Sample, by_label
from models.replay.dataset import Sequences
from models.replay.source import Interval

Array = npt.NDArray[Any]

VERDICTS = ("steady", "look", "drift")  # from good to bad
GROWING = ("log_events", "log_sessions", "log_tenure")  # with every day: shown, and not judged
SERIES_ROWS = 20_000  # of a series that ADWIN walks through, evenly thinned


@dataclass(frozen=True)
class Shift:
    """One column. psi; noise: what psi exceeds in 5 % of cases by chance. ks, p: None for columns without order.

    verdict: steady, look, drift, by psi alone (ks shows where a shift is that bins hide); grows: not judged.
    """

    name: str
    kind: str
    psi: float
    noise: float
    ks: float | None
    p: float | None
    verdict: str


@dataclass(frozen=True)
class Change:
    """series: task and "score" (what was predicted) or "error" (squared, of matured rows). at: ms, when it was noticed."""

    series: str
    at: int


@dataclass(frozen=True)
class Drift:
    """interval: of the moments looked at. verdict: the worst of scores and calibration; features alone say "look"."""

    release: str
    interval: Interval
    rows: int
    shoppers: int
    shifts: tuple[Shift, ...]
    calibration: tuple[Matured, ...]
    changes: tuple[Change, ...]

    @property
    def verdict(self) -> str:
        grave = [one.verdict for one in self.shifts if one.kind == "score"]
        grave += [one.verdict for one in self.calibration]
        moved = any(one.verdict in ("look", "drift") for one in self.shifts) or bool(self.changes)
        return max([*grave, "look" if moved else "steady"], key=VERDICTS.index)


def measure(
    release: str,
    reference: Sequence[Column],
    found: Sample,
    sequences: Sequences,
    tasks: tuple[str, ...],
    interval: Interval,
) -> Drift:
    """found: the sample of `interval`; sequences: events until interval.stop, from which outcomes come."""
    each = found.one_each
    shifts = tuple(shift(column, found, each) for column in reference)
    time = sequences.events["time"][found.row]
    truths, changes = list[Matured](), list[Change]()
    for at, task in enumerate(tasks):
        scores = found.scores[:, at].astype(np.float64)
        changes += _changes(f"{task} score", time, scores)
        if not survival.is_task(task):
            continue  # only what the survival curve says is held against outcomes here
        happened, decided = outcomes(task, sequences.purchases, found.shopper, time, interval.stop)
        one = matured(task, scores[decided], happened[decided], found.shopper[decided])
        truths += [one] if one else []
        changes += _changes(f"{task} error", time[decided], (happened - scores)[decided] ** 2)
    return Drift(release, interval, len(found.row), len(each), shifts, tuple(truths), tuple(changes))


def shift(column: Column, found: Sample, each: Array) -> Shift:
    """One column of the sample against its reference; each: positions of one row per shopper."""
    distance = None
    if column.labels:
        now = by_label(found.words[column.name], column.labels[:-1])
    else:
        values = found.numbers[column.name]
        now = psi.counts(values, np.array(column.edges, np.float32))
        distance = ks.compare(np.array(column.points, np.float32), values[each], column.shoppers)
    value = psi.psi(np.array(column.counts), now)
    noise = psi.noise(len(now), column.shoppers, len(each))
    verdict = "drift" if value > psi.DRIFT else "look" if value > psi.LOOK else "steady"
    verdict = "grows" if column.name in GROWING else verdict if value > noise else "steady"
    return Shift(
        column.name,
        column.kind,
        value,
        noise,
        None if distance is None else distance.distance,
        None if distance is None else distance.p,
        verdict,
    )


def _changes(series: str, time: Array, values: Array) -> list[Change]:
    """ADWIN over the rows in order of time."""
    order = np.argsort(time, kind="stable")
    order = order[:: max(1, -(-len(order) // SERIES_ROWS))]
    return [Change(series, int(time[order[at]])) for at in adwin.changes(values[order].tolist())]


def summary(drift: Drift) -> str:
    """One line: verdict, and how many columns are how far."""
    found = Counter(one.verdict for one in drift.shifts)
    figures = ", ".join(f"{found[verdict]} {verdict}" for verdict in reversed(VERDICTS))
    return f"{drift.verdict}: columns {figures}; {len(drift.changes)} changes in time"
