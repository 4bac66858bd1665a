"""Diginetica views as SR-GNN prepared them: the next item, by the same models as on YooChoose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.models.ranking import Task, compare, pairs
from bench.models.row import Row, data


def task() -> Task:
    return pairs(*data("diginetica", "train_sessions.txt.gz", "test_pairs.tsv.gz"))


def measure(parameters: Mapping[str, Any]) -> Row:
    return compare(task(), parameters)
