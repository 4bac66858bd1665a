"""UCI Online Shoppers: will the session end in a purchase? 12,330 sessions as rows, ten months of a shop.

Three protocols: ten stratified 70/30 splits; months until October learnt, November and December judged, without the month
as input; and the random splits without PageValues, which the shop computes from purchases.

The split by time meets two shifts. One shows in the months learnt from: until May nobody bought with PageValues 0, from
June on one buyer in four did. So the rows of before with PageValues 0 teach what no longer holds, and may be left out.
The other is the share of buyers; what a correction from the scores of the new time alone makes of it stands beside.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import StratifiedShuffleSplit

from bench.models.row import Metrics, Row, data
from bench.models.tabular import few, over_splits, quality
from bench.processes import say
from bench.report import fast
from models.families import kinds
from models.families.prior_shift import moved, share

Array = npt.NDArray[Any]

LATE = ("Nov", "Dec")
EARLY = ("Feb", "Mar", "May")  # when no session with PageValues 0 ended in a purchase
SINCE = ("June", "Jul", "Aug", "Sep", "Oct")


class Sessions(NamedTuple):
    """inputs: float64 (N, F), names: (F,), bought: (N,) of 0/1, month: str (N,)."""

    inputs: Array
    names: tuple[str, ...]
    bought: Array
    month: Array

    def without(self, *prefixes: str) -> Sessions:
        """Without the columns whose names begin so."""
        kept = [at for at, name in enumerate(self.names) if not name.startswith(prefixes)]
        return self._replace(inputs=self.inputs[:, kept], names=tuple(self.names[at] for at in kept))


Splits = list[tuple[Array, Array]]  # rows to learn from, rows to judge by


def measure(given: Mapping[str, Any]) -> Row:
    (path,) = data("online_shoppers_intention", "online_shoppers_intention.csv")
    sessions = read(path)
    random = random_splits(sessions, 2 if fast() else int(given["splits"]))
    monthless, by_time = sessions.without("Month"), time_split(sessions)
    forward, left_out = forward_splits(sessions), left_out_splits(sessions)
    protocols: dict[str, tuple[Sessions, Splits]] = {
        "random splits": (sessions, random),
        "time split": (monthless, [by_time]),
        "time split, zeros since June": (monthless, [zeros_since_june(sessions, by_time)]),
        "forward months": (monthless, forward),
        "forward months, zeros since June": (monthless, [zeros_since_june(sessions, one) for one in forward]),
        "months left out": (monthless, left_out),
        "months left out, zeros since June": (
            monthless,
            [zeros_since_june(sessions, one) for one in left_out],
        ),
        "no PageValues": (sessions.without("PageValues"), random),
        "no PageValues, no rates": (sessions.without("PageValues", "BounceRates", "ExitRates"), random),
    }
    row = Row(notes=[*given["notes"]])
    for protocol, (table, splits) in protocols.items():
        models = few(given["models"], fast())
        for name in given["protocols"][protocol]:
            row.ours[f"{name}, {protocol}"] = judged(models[name], table, splits)
            say(f"online_shoppers: {name}, {protocol}: {row.ours[f'{name}, {protocol}']}")
        for name in given["corrected"].get(protocol, ()):
            found = judged(models[name], table, splits, corrected=True)
            row.ours[f"{name}, {protocol}, label-shift correction"] = found
    for name, bar in given["judged"].items():
        row.want(given, name, row.ours[bar["model"]][bar["metric"]])
    return row


def read(path: Path) -> Sessions:
    """The file: complete rows, and a 0/1 column for every month and type of visitor."""
    found = pd.read_csv(path).dropna()
    wide = pd.get_dummies(found.drop(columns="Revenue"), columns=["Month", "VisitorType"])
    return Sessions(
        wide.to_numpy(np.float64),
        tuple(wide.columns),
        found["Revenue"].to_numpy(np.float64),
        found["Month"].to_numpy(),
    )


def random_splits(sessions: Sessions, count: int) -> Splits:
    """`count` times 70/30, as many buyers in both."""
    found = StratifiedShuffleSplit(count, test_size=0.3, random_state=0)
    return list(found.split(sessions.inputs, sessions.bought))


def time_split(sessions: Sessions) -> tuple[Array, Array]:
    """Learn from February to October, judge by November and December."""
    late = np.isin(sessions.month, LATE)
    return np.flatnonzero(~late), np.flatnonzero(late)


def forward_splits(sessions: Sessions) -> Splits:
    """Validation for the split by time: learn from all months before August, September or October, judge that one.

    Before them there is too little of what changed in June: 6 buyers with PageValues 0.
    """
    found = []
    for place, month in enumerate(SINCE[2:], 2):
        before = np.isin(sessions.month, EARLY + SINCE[:place])
        found.append((np.flatnonzero(before), np.flatnonzero(sessions.month == month)))
    return found


def left_out_splits(sessions: Sessions) -> Splits:
    """Another one: each month from June to October is judged by what was learnt from the others until October."""
    apart = [sessions.month == month for month in SINCE]
    learnt = ~np.isin(sessions.month, LATE)
    return [(np.flatnonzero(learnt & ~one), np.flatnonzero(one)) for one in apart]


def zeros_since_june(sessions: Sessions, split: tuple[Array, Array]) -> tuple[Array, Array]:
    """The split, but of the months until May only sessions with PageValues are learnt from."""
    learnt, apart = split
    values = sessions.inputs[learnt, sessions.names.index("PageValues")]
    return learnt[(values > 0) | ~np.isin(sessions.month[learnt], EARLY)], apart


def judged(
    given: Mapping[str, Any],
    sessions: Sessions,
    splits: Iterable[tuple[Array, Array]],
    corrected: bool = False,
) -> Metrics:
    """A model learnt and judged on every split, with seed 0, 1, …

    corrected: scores are moved to the share of buyers that they themselves tell of the rows judged; no outcome is used.
    """
    each = []
    for seed, (learnt, apart) in enumerate(splits):
        model = kinds.make(given).fit(sessions.inputs[learnt], sessions.bought[learnt], seed)
        scores = model.predict(sessions.inputs[apart])
        if corrected:
            before = float(sessions.bought[learnt].mean())
            scores = moved(scores, before, share(scores, before))
        each.append(quality(sessions.bought[apart], scores))
    return over_splits(each)
