"""What the rows of next-item rankings share: reading the data, models from the parameter file, metrics."""

from __future__ import annotations

import csv
import gzip
import time
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.models.row import Metrics, Row
from bench.processes import say
from bench.report import fast
from models.families.blend import Blend
from models.families.interface import Array, Ranker, Sessions
from models.families.rankers import ranker
from models.families.sessions import part, questions, sessions_of
from models.ranking_metrics import places

K = 20
METRICS = ("recall@20", "mrr@20", "ndcg@20")


class Task(NamedTuple):
    """Sessions to learn from, oldest first; beginnings of test sessions, and int32 (Q,) the item that came next."""

    train: Sessions
    asked: Sessions
    targets: Array

    def short(self) -> Task:
        """A small part of it, for FAST=1."""
        train, asked = (part(one, max(0, len(one) - 2000), len(one)) for one in (self.train, self.asked))
        return Task(train, asked, self.targets[-len(asked) :])


def clicks(train: Path, test: Path) -> Task:
    """A task from tables SessionId, ItemId, Time: every position of a test session from the second on is asked for."""
    seen, later = _clicked(train), _clicked(test)
    number = {item: place for place, item in enumerate(sorted({item for one in seen for item in one}))}
    asked, targets = questions(_numbered(later, number))
    return Task(_numbered(seen, number), asked, targets)


def pairs(train: Path, test: Path) -> Task:
    """A task from lines of items, and from lines of beginning, tab, next item. Items are numbered from 1."""
    with gzip.open(train, "rt", encoding="utf-8") as lines:
        seen = [np.array(line.split(), np.int32) - 1 for line in lines]
    n_items = 1 + max(int(one.max()) for one in seen)
    with gzip.open(test, "rt", encoding="utf-8") as lines:
        found = [line.rstrip("\n").split("\t") for line in lines]
    asked = sessions_of([np.array(known.split(), np.int32) - 1 for known, _ in found], n_items)
    return Task(sessions_of(seen, n_items), asked, np.array([int(item) for _, item in found], np.int32) - 1)


def compare(task: Task, parameters: Mapping[str, Any]) -> Row:
    """Every model of the parameter file on one task, and the blend of those that it names with their weights."""
    row, task = Row(), task.short() if fast() else task
    models = trained(task, parameters, row)
    weights = parameters["blend"]
    blend = Blend([models[name] for name in weights], list(weights.values()))
    row.ours["blend"] = _noted("blend", measured(blend, task))
    for metric in METRICS[:2]:
        row.want(parameters, f"blend {metric}", row.ours["blend"][metric])
    return row


def trained(task: Task, parameters: Mapping[str, Any], row: Row) -> dict[str, Ranker]:
    """The models of the parameter file, fitted; their figures go to `row`."""
    models: dict[str, Ranker] = {}
    for name, settings in parameters["models"].items():
        begun = time.monotonic()
        models[name] = ranker(settings).fit(task.train, parameters["seed"])
        cost = {"fit_s": time.monotonic() - begun, **getattr(models[name], "speed", {})}
        row.ours[name] = _noted(name, {**measured(models[name], task), **cost})
    return models


def measured(model: Ranker, task: Task) -> Metrics:
    """METRICS; with one true item a row's recall is what others call P@20 or the hit rate."""
    ranked = places(model.predict(task.asked), task.targets)
    return dict(
        zip(METRICS, (ranked.recall(K), ranked.reciprocal_rank(K), ranked.discounted_gain(K)), strict=True)
    )


def _noted(name: str, figures: Metrics) -> Metrics:
    say(f"{name}: " + ", ".join(f"{key} {value:.4g}" for key, value in figures.items()))
    return figures


def _clicked(path: Path) -> list[list[str]]:
    """Items of each session; sessions in the order of their last click."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        table = csv.DictReader(lines, delimiter="\t")
        rows = [(row["SessionId"], float(row["Time"]), row["ItemId"]) for row in table]
    rows.sort(key=lambda row: row[:2])
    found = [list(events) for _, events in groupby(rows, key=lambda row: row[0])]
    found.sort(key=lambda events: events[-1][1])
    return [[item for _, _, item in events] for events in found]


def _numbered(sessions: list[list[str]], number: Mapping[str, int]) -> Sessions:
    """With the numbers of the training items. Raises ValueError, by its name, for an item that training never saw."""
    unseen = next((item for one in sessions for item in one if item not in number), None)
    if unseen is not None:
        raise ValueError(
            f"item {unseen} of the test is not in the training data; rank it as a miss or leave it out"
        )
    return sessions_of([[number[item] for item in one] for one in sessions], len(number))
