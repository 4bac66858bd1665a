"""One event log, its folds, and what the sequence model and LightGBM say of every event: the questions that rows ask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from bench import report
from bench.models import logs
from bench.models.row import Metrics, Row
from models import metrics
from models.evaluation.bootstrap import Resamples, YesNo
from models.featurizer import FeatureSpec
from models.replay.source import moment
from models.replay.targets import Targets, since_cart, targets
from models.tasks import split

Array = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]

GAP_S = FeatureSpec().session_gap_s
DAY_MS = logs.DAY_MS
EDGE = 1e-7


class Log:
    """given: the parameter file: folds, seeds, network (a recipe), boosting (LightGBM's parameters)."""

    def __init__(self, name: str, given: Mapping[str, Any]) -> None:
        self._given, self._fast = given, report.fast()
        self._log = logs.read(name)
        times = self._log.events["time"]
        # A log in slices ends at each of their ends: what comes after is not known, though another slice follows.
        ends = [moment(end) for end in given.get("slices_end", ())] or [int(times.max())]
        self._untils = [end + 1 for end in ends]
        self._slice = np.searchsorted(np.array(self._untils), times, side="right")
        if self._slice.max() >= len(ends):
            raise ValueError(
                f"slices_end: {name} has events after {given['slices_end'][-1]}: name the end of the last slice"
            )
        self._fold = logs.folds(self._log, given["folds"])
        self._table = logs.session_table(self._log, FeatureSpec())
        made = logs.recipe(given["network"], self._fast)
        seeds = 1 if self._fast else given["seeds"]
        self._network = logs.network(self._log, made, self._fold, seeds)
        self._says = f"{given['network']['preset'].upper()}, mean of {seeds}"
        self._boosted: dict[str, npt.NDArray[np.float64]] = {}

    def chance(self, row: Row, task: str, after_cart: int | None = None) -> None:
        """A yes/no task: of all rows whose outcome is known, or of those so many events after the cart."""
        labels, known = self._outcome(task)
        name = task
        if after_cart is not None:
            since, asked = since_cart(self._log, GAP_S)
            name, known = f"{task} {after_cart} after", known & asked & (since == after_cart)
        scores = {
            self._says: self._network[task],
            "LightGBM": self._of_trees(task),
            "constant": np.full(len(labels), labels[known].mean()),
        }
        for model, said in scores.items():
            row.ours.setdefault(model, {}).update(_quality(name, labels[known], said[known]))
        self._ahead(row, name, labels[known], scores[self._says][known], scores["LightGBM"][known], known)

    def next_type(self, row: Row) -> None:
        """The type of the next event: accuracy and log loss."""
        kinds = logs.type_names(self._log)
        extra = split(tuple(name for name in self._network if name.startswith("next_"))).extra
        found = self._targets(extra)
        known = found.known[:, 0]
        wanted = found.values[:, [code for code, _ in kinds]].argmax(1)
        network = np.stack([self._network[f"next_{name}"] for _, name in kinds], 1)
        trees = np.stack([self._of_trees(f"next_{name}") for _, name in kinds], 1)
        share = np.bincount(wanted[known], minlength=len(kinds)) / known.sum()
        constant = np.tile(share, (len(known), 1))
        for model, said in ((self._says, network), ("LightGBM", trees), ("constant", constant)):
            row.ours.setdefault(model, {}).update(_of_types(said[known], wanted[known]))
        losses = [row.ours[model]["next_type log loss"] for model in ("LightGBM", self._says)]
        name = "next_type: log loss below LightGBM's"
        if name in self._given["bars"]:
            row.want(self._given, name, losses[0] - losses[1])

    def _outcome(self, task: str) -> tuple[Bools, Bools]:
        """Label and whether it is known, of every event (N,)."""
        if task == "buy_1d":
            time, until = self._log.events["time"], np.array(self._untils)[self._slice]
            bought = self._log.purchases.next_time(self._log.shopper, time) <= time + DAY_MS
            return bought, time + DAY_MS < until
        found = self._targets((task,))
        return found.values[:, 0] > 0, found.known[:, 0]

    def _targets(self, extra: tuple[str, ...]) -> Targets:
        """Of all rows, each as of the end of its slice."""
        parts = [targets(self._log, extra, until, GAP_S) for until in self._untils]
        mine = [(self._slice == number)[:, None] for number in range(len(parts))]
        return Targets(
            np.select(mine, [part.values for part in parts]),
            np.select(mine, [part.known for part in parts], False),
        )

    def _of_trees(self, task: str) -> npt.NDArray[np.float64]:
        if task not in self._boosted:
            labels, known = self._outcome(task)
            given = dict(self._given["boosting"])
            if self._fast:
                given["trees"] = 20
            self._boosted[task] = logs.boosted(self._table, labels, known, self._log, self._fold, given)
        return self._boosted[task]

    def _ahead(self, row: Row, name: str, labels: Bools, ours: Array, theirs: Array, known: Bools) -> None:
        """How far the sequence model's AUC is ahead, with a 95 % interval over shoppers; the bar, if there is one."""
        resamples = Resamples(self._log.shopper[known], 200)
        half = np.zeros(len(labels), bool)
        drawn = resamples.draw(
            {
                key: YesNo(resamples, labels, np.clip(said, 0, 1), half)
                for key, said in (("ours", ours), ("theirs", theirs))
            }
        )
        apart = drawn["ours"]["auc"] - drawn["theirs"]["auc"]
        low, high = np.nanpercentile(apart, (2.5, 97.5))
        value = float(roc_auc_score(labels, ours) - roc_auc_score(labels, theirs))
        row.notes.append(
            f"{name}: AUC of the sequence model minus LightGBM's {value:+.4f} [{low:+.4f}, {high:+.4f}], "
            f"{len(labels):,} rows of {resamples.shoppers:,} shoppers"
        )
        bar = f"{name}: AUC ahead of LightGBM"
        if bar in self._given["bars"]:
            row.want(self._given, bar, value)


def _quality(name: str, labels: Bools, scores: Array) -> Metrics:
    found = metrics.binary(labels, np.clip(scores, 0.0, 1.0))
    if found.auc is None or found.average_precision is None:
        raise ValueError(f"{name}: all {len(labels)} rows have the same outcome; take more events")
    return {
        f"{name} AUC": found.auc,
        f"{name} AP": found.average_precision,
        f"{name} log loss": found.log_loss,
    }


def _of_types(said: Array, wanted: Array) -> Metrics:
    """said (N, K): scores of the types, wanted (N,)."""
    shares = said / np.maximum(said.sum(1, keepdims=True), EDGE)
    chosen = np.clip(shares[np.arange(len(wanted)), wanted], EDGE, 1.0)
    return {
        "next_type accuracy": float((shares.argmax(1) == wanted).mean()),
        "next_type log loss": float(-np.log(chosen).mean()),
    }
