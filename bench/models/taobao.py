"""Taobao: purchase in the session, purchase within a day, and the type of the next event, against LightGBM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.models.event_log import Log
from bench.models.row import Row


def measure(given: Mapping[str, Any]) -> Row:
    """Five folds by shopper; every event with a known outcome is a row."""
    log = Log("taobao", given)
    row = Row()
    log.chance(row, "session_buy")
    log.chance(row, "buy_1d")
    log.next_type(row)
    return row
