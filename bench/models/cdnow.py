"""CDNOW: who of the 23,570 customers of early 1997 is lost, and how often will the others buy?

Known: 39 weeks, to 30 September 1997. To foretell: the 39 weeks after. Churn is to buy nothing in them. Days with a purchase
count, not receipts. Learned models are judged out of fold, five folds of customers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.models.row import Metrics, Row, data
from bench.models.tabular import Rows, errors, few, out_of_fold, quality
from bench.processes import say
from bench.report import fast
from models.families import table
from models.families.bgnbd import BgNbd

Array = npt.NDArray[Any]

END = pd.Timestamp("1997-09-30")
WEEKS = 39
RFM = ("since", "frequency", "spent", "age")
RECENT = ((0, 2), (2, 4), (4, 8), (8, 13), (13, 20), (20, 26), (26, 40))  # weeks ago, from and to
HALF_LIVES = (5, 15, 30)  # weeks


def measure(given: Mapping[str, Any]) -> Row:
    (path,) = data("cdnow", "CDNOW_master.txt")
    days = read(path)
    known = histories(days, END)
    count = bought(days, known.index, END)
    lost = (count == 0).astype(np.float64)
    fold = table.folds(lost, 2 if fast() else int(given["folds"]), 0)
    models = few(given["models"], fast())
    row = Row(notes=[*given["notes"]])
    row.ours |= rules(known, count)
    row.ours["BG/NBD"], note = bg_nbd(known, count)
    row.notes.append(note)
    columns = {"RFM": list(RFM), "history": list(known)}
    earlier = moments(days, known, given["moments"])
    for name, run in given["runs"].items():
        say(f"cdnow: {name}")
        of_churn, chosen = run["of"] == "churn", columns[run["inputs"]]
        more = [
            Rows(then[chosen].to_numpy(), (n == 0) * 1.0 if of_churn else n, who) for then, n, who in earlier
        ]
        scores = out_of_fold(
            models[run["model"]],
            known[chosen].to_numpy(),
            lost if of_churn else count,
            fold,
            more=Rows(*map(np.concatenate, zip(*more, strict=True))) if run.get("moments") else None,
        )
        row.ours[name] = churn(lost, scores) if of_churn else counts(count, scores)
    for name, bar in given["judged"].items():
        row.want(given, name, row.ours[bar["model"]][bar["metric"]])
    return row


def read(path: Path) -> pd.DataFrame:
    """Days with a purchase: customer, date, cds, dollars, receipts; by customer and date."""
    names = ["customer", "date", "cds", "dollars"]
    found = pd.read_csv(path, sep=r"\s+", header=0, names=names, dtype={"customer": str, "date": str})
    found["date"] = pd.to_datetime(found["date"], format="%Y%m%d")
    by_day = found.groupby(["customer", "date"], as_index=False)
    return by_day.agg(cds=("cds", "sum"), dollars=("dollars", "sum"), receipts=("cds", "size"))


def histories(days: pd.DataFrame, end: pd.Timestamp) -> pd.DataFrame:
    """What is known of each customer (the index) by the end of that day. Times are in weeks; NaN where there is none."""
    days = days[days["date"] <= end]
    days = days.assign(
        ago=(end - days["date"]).dt.days / 7, gap=days.groupby("customer")["date"].diff().dt.days / 7
    )
    mine = days.groupby("customer")
    last, first = mine["ago"].min(), mine["ago"].max()
    found = pd.DataFrame({"frequency": mine.size() - 1, "recency": first - last, "age": first, "since": last})
    for name, column in (("spent", "dollars"), ("cds", "cds")):
        found[name], found[f"{name}_most"] = mine[column].sum(), mine[column].max()
        found[f"{name}_first"], found[f"{name}_last"] = mine[column].first(), mine[column].last()
    found["receipts"] = mine["receipts"].sum()
    found["gap"], found["gap_deviation"] = mine["gap"].mean(), mine["gap"].std()
    found["gap_last"], found["gap_most"], found["gap_first"] = (
        mine["gap"].last(),
        mine["gap"].max(),
        mine["gap"].first(),
    )
    found["overdue"], found["overdue_most"] = last / found["gap"], last / found["gap_most"]
    for begin, until in RECENT:
        there = days["ago"].ge(begin) & days["ago"].lt(until)
        found[f"days_{begin}_{until}"] = there.groupby(days["customer"]).sum()
    for half_life in HALF_LIVES:
        weight = 0.5 ** (days["ago"] / half_life)
        found[f"days_decayed_{half_life}"] = weight.groupby(days["customer"]).sum()
        found[f"spent_decayed_{half_life}"] = (weight * days["dollars"]).groupby(days["customer"]).sum()
    return found.astype(np.float64)


def bought(days: pd.DataFrame, customers: pd.Index, end: pd.Timestamp) -> Array:
    """Days with a purchase in the WEEKS after `end` of each of the customers, float64 (N,)."""
    until = end + pd.Timedelta(weeks=WEEKS)
    after = days[(days["date"] > end) & (days["date"] <= until)]
    return after.groupby("customer").size().reindex(customers, fill_value=0).to_numpy(np.float64)


def moments(
    days: pd.DataFrame, known: pd.DataFrame, ends: Iterable[str]
) -> list[tuple[pd.DataFrame, Array, Array]]:
    """What was known at earlier moments, the count that followed, and the place of each customer in `known`.

    The weeks that followed reach into those that are foretold, so only customers to learn from may have such rows.
    """
    made = []
    for end in map(pd.Timestamp, ends):
        then = histories(days, end)
        made.append((then, bought(days, then.index, end), known.index.get_indexer(then.index)))
    return made


def rules(known: pd.DataFrame, count: Array) -> dict[str, Metrics]:
    """What needs no learning: everybody is lost, rankings by one number, and counts that go on as they were."""
    lost = (count == 0).astype(np.float64)
    rate = known["frequency"] / known["age"]
    rankings = {"frequency": -known["frequency"], "rate x/T": -rate, "weeks since the last": known["since"]}
    always = {"accuracy": float(lost.mean()), **errors(count, np.zeros(len(count)))}
    made: dict[str, Metrics] = {"always churn": always}
    made |= {name: {"auc": ranked(lost, score.to_numpy())} for name, score in rankings.items()}
    made["rate x/T"] |= errors(count, (rate * WEEKS).to_numpy())
    return made


def bg_nbd(known: pd.DataFrame, count: Array) -> tuple[Metrics, str]:
    """BG/NBD, learnt from the known weeks of all customers (it sees no label), ranked by expected purchases."""
    history = [known[name].to_numpy() for name in ("frequency", "recency", "age")]
    model = BgNbd().fit(*history)
    found = counts(count, model.predict(*history, WEEKS))
    alive = ranked((count == 0).astype(np.float64), 1.0 - model.alive(*history))
    fitted = f"r {model.r:.3f}, α {model.alpha:.3f}, a {model.a:.3f}, b {model.b:.3f}"
    return found, f"BG/NBD fitted: {fitted}. Ranked by 1 - P(alive) its AUC would be {alive:.3f}."


def churn(lost: Array, scores: Array) -> Metrics:
    """Of P(churn) (N,); yes is said to as many as are lost."""
    return quality(lost, scores, threshold=float(np.quantile(scores, 1.0 - lost.mean())))


def counts(count: Array, expected: Array) -> Metrics:
    """Of expected counts (N,): the fewer, the likelier lost."""
    return {"auc": ranked((count == 0).astype(np.float64), -expected), **errors(count, expected)}


def ranked(labels: Array, scores: Array) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels, scores))
