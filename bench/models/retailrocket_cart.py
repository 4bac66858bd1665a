"""RetailRocket carts: will who put something into the cart buy in this session, 0 to 10 events after they did?

A row a session and cutoff k, with what was known then; folds by visitor. One model learns from all cutoffs at once, with k
as an input and what was known at the cutoffs before.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import GroupKFold

from bench.models.row import Row, data
from bench.models.tabular import few, out_of_fold, quality
from bench.processes import say
from bench.report import fast

Array = npt.NDArray[Any]

KEYS = ("session_key", "visitorid", "y")
LADDER = (  # columns of which the values at earlier cutoffs are given as well
    "view_count",
    "addtocart_count",
    "unique_items_count",
    "seconds_since_first_event",
    "repeated_views_of_cart_items",
    "seconds_since_previous_event",
)


class Carts(NamedTuple):
    """known: the published columns, a row a session and cutoff, sorted by both. Then, of each row (N,): its session,
    visitor, cutoff, and whether a purchase followed in the session."""

    known: pd.DataFrame
    session: Array
    visitor: Array
    cutoff: Array
    bought: Array


def measure(given: Mapping[str, Any]) -> Row:
    (path,) = data("retailrocket_cart", "prefix_dataset.parquet")
    carts = read(path)
    columns = {
        "published columns": carts.known,
        "and earlier cutoffs": with_ladder(carts),
        "and the visit's number": with_ladder(carts).assign(visit=visit(carts)),
        "and the visitor's past carts": with_ladder(carts).assign(visit=visit(carts), **past(carts)),
    }
    fold = folds(carts, 2 if fast() else int(given["folds"]))
    models = few(given["models"], fast())
    row = Row(notes=[*given["notes"]])
    for inputs, names in given["runs"].items():
        table = columns[inputs].to_numpy(np.float64)
        for name in names:
            say(f"retailrocket_cart: {name}, {inputs}")
            scores = out_of_fold(models[name], table, carts.bought, fold, groups=carts.visitor)
            row.ours[f"{name}, {inputs}"] = by_cutoff(carts, scores)
    best = row.ours[given["judged"]]
    for name in given["bars"]:
        row.want(given, name, best[name])
    return row


def read(path: Path) -> Carts:
    """The leak-safe table, sorted by session and cutoff."""
    found = pd.read_parquet(path).sort_values(["session_key", "cutoff_k"], ignore_index=True)
    return Carts(
        found.drop(columns=list(KEYS)).astype(np.float64),
        found["session_key"].to_numpy(),
        found["visitorid"].to_numpy(),
        found["cutoff_k"].to_numpy(),
        found["y"].to_numpy(np.float64),
    )


def folds(carts: Carts, count: int) -> Array:
    """Fold (N,) of each row; all rows of a visitor in one."""
    fold = np.empty(len(carts.bought), np.int64)
    split = GroupKFold(count).split(carts.known, carts.bought, carts.visitor)
    for one, (_, apart) in enumerate(split):
        fold[apart] = one
    return fold


def with_ladder(carts: Carts) -> pd.DataFrame:
    """What is known at a row's cutoff and, as "column@k", at each cutoff of the session before it; NaN at later ones."""
    earlier = {}
    _, place = np.unique(carts.session, return_inverse=True)
    for k in np.unique(carts.cutoff)[:-1]:
        at = np.full(place.max() + 1, -1)
        at[place[carts.cutoff == k]] = np.flatnonzero(carts.cutoff == k)
        source = at[place]
        there = (source >= 0) & (carts.cutoff > k)
        for column in LADDER:
            earlier[f"{column}@{k}"] = np.where(there, carts.known[column].to_numpy()[source], np.nan)
    return pd.concat([carts.known, pd.DataFrame(earlier)], axis=1)


def visit(carts: Carts) -> Array:
    """Which of the visitor's sessions it is (N,), 1 for the first; `session_key` is "visitor_number"."""
    return np.array([float(key.rpartition("_")[2]) for key in carts.session])


def past(carts: Carts) -> dict[str, Array]:
    """Of the visitor's carts in earlier sessions (N,): how many, how many were bought, visits since, and the last's fate.

    The sessions of a visitor are numbered in the order of time and half an hour apart, so that how the earlier ones ended
    is known when a later one begins.
    """
    rows = pd.DataFrame(
        {"visitor": carts.visitor, "visit": visit(carts), "session": carts.session, "bought": carts.bought}
    )
    each = rows.groupby("session", as_index=False).agg(
        visitor=("visitor", "first"), visit=("visit", "first"), bought=("bought", "max")
    )
    each = each.sort_values(["visitor", "visit"], ignore_index=True)
    mine = each.groupby("visitor")
    each["carts_before"] = mine.cumcount()
    each["bought_before"] = mine["bought"].cumsum() - each["bought"]
    each["visits_since_cart"] = each["visit"] - mine["visit"].shift(1)
    each["last_cart_bought"] = mine["bought"].shift(1)
    found = each.set_index("session").loc[carts.session]
    names = ("carts_before", "bought_before", "visits_since_cart", "last_cart_bought")
    return {name: found[name].to_numpy(np.float64) for name in names}


def by_cutoff(carts: Carts, scores: Array) -> dict[str, float]:
    """AUC and average precision of scores (N,) at every cutoff: "auc@k" and "ap@k"; Brier over all rows."""
    cutoffs = np.unique(carts.cutoff).tolist()
    each = [quality(carts.bought[at], scores[at]) for at in (carts.cutoff == k for k in cutoffs)]
    made = {
        f"{metric}@{k}": one[metric] for metric in ("auc", "ap") for k, one in zip(cutoffs, each, strict=True)
    }
    return {**made, "brier": float(np.mean((scores - carts.bought) ** 2))}
