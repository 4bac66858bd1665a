"""UCI Online Shoppers: will the session end in a purchase? 12,330 sessions as rows, ten months of a shop.

Three protocols: ten stratified 70/30 splits; months until October learnt, November and December judged, without the month
as input; and the random splits without PageValues, which the shop computes from purchases.
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

Array = npt.NDArray[Any]

LATE = ("Nov", "Dec")


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
    protocols: dict[str, tuple[Sessions, Splits]] = {
        "random splits": (sessions, random),
        "time split": (sessions.without("Month"), [time_split(sessions)]),
        "no PageValues": (sessions.without("PageValues"), random),
        "no PageValues, no rates": (sessions.without("PageValues", "BounceRates", "ExitRates"), random),
    }
    row = Row(notes=[*given["notes"]])
    for protocol, (table, splits) in protocols.items():
        models = few(given["models"], fast())
        for name in given["protocols"][protocol]:
            row.ours[f"{name}, {protocol}"] = judged(models[name], table, splits)
            say(f"online_shoppers: {name}, {protocol}: {row.ours[f'{name}, {protocol}']}")
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


def judged(given: Mapping[str, Any], sessions: Sessions, splits: Iterable[tuple[Array, Array]]) -> Metrics:
    """A model learnt and judged on every split, with seed 0, 1, …"""
    each = []
    for seed, (learnt, apart) in enumerate(splits):
        model = kinds.make(given).fit(sessions.inputs[learnt], sessions.bought[learnt], seed)
        each.append(quality(sessions.bought[apart], model.predict(sessions.inputs[apart])))
    return over_splits(each)
