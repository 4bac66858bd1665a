"""YooChoose clicks, a sample of 100,000: a GRU, neighbours, counts and their blend name the next item."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.models.ranking import Task, clicks, compare
from bench.models.row import Row, data


def task() -> Task:
    return clicks(*data("yoochoose_100k", "train_full.txt.gz", "test.txt.gz"))


def measure(parameters: Mapping[str, Any]) -> Row:
    return compare(task(), parameters)
