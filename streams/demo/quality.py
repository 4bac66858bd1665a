"""Holds the demo's published predictions against what the households then did, beside the baseline."""

from __future__ import annotations

from datetime import datetime

from rich.table import Table

from schemas.settings import Settings


def report(settings: Settings, live: datetime) -> list[Table]:
    return []
