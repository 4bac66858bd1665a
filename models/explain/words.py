"""An attribution in plain words: what drove a score, strongest first, with the values that the last event had."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from models.explain.gradients import MEMORY, Attribution
from models.featurizer import DENSE, LOGS, Features

_DAYS = 24.0
# Name of an input -> what it is, and its unit: count, hours, seconds, days, flag, or "" when a value says nothing.
WORDS: dict[str, tuple[str, str]] = {
    "item": ("which items", ""),
    "category": ("which categories", ""),
    "type": ("kinds of events", ""),
    "device": ("devices", ""),
    MEMORY: ("favourite categories, in the long run", ""),
    "log_price": ("price", "count"),
    "price_known": ("a price is known", "flag"),
    "log_quantity": ("quantity", "count"),
    "log_since_previous": ("time since the event before", "seconds"),
    "first_event": ("the first event", "flag"),
    "new_session": ("a new visit", "flag"),
    "log_events": ("events so far", "count"),
    "log_sessions": ("visits so far", "count"),
    "log_tenure": ("time since the first event", "days"),
    "log_session_interval": ("usual time between visits", "days"),
    "hour_sin": ("time of day", ""),
    "hour_cos": ("time of day", ""),
    "weekday_sin": ("day of the week", ""),
    "weekday_cos": ("day of the week", ""),
    "purchased": ("has bought before", "flag"),
    "log_since_purchase": ("time since the last purchase", "hours"),
    "log_purchase_gap": ("time between the last two purchases", "hours"),
    "log_baskets_week": ("baskets, fading within a week", "count"),
    "log_baskets_month": ("baskets, fading within a month", "count"),
    "log_baskets_quarter": ("baskets, fading within a quarter", "count"),
}


def inputs(found: Attribution, features: Features, most: int) -> list[str]:
    """The strongest inputs over all events, a line each: +0.12  time since the last purchase: 3.2 days."""
    total: dict[str, float] = defaultdict(float)
    values: dict[str, str] = {}
    for name, part in found.inputs.items():
        words, unit = WORDS[name]
        total[words] += part
        if unit:
            values[words] = _value(name, unit, float(features.dense[-1, DENSE.index(name)]))
    ranked = sorted(total, key=lambda words: -abs(total[words]))[:most]
    return [
        f"{total[words]:+.3f}  {words}{': ' + values[words] if words in values else ''}" for words in ranked
    ]


def events(found: Attribution, lines: list[str], most: int) -> list[str]:
    """The strongest events, a line each; lines (T,): the events in words, in their order."""
    parts = found.events
    ranked = np.argsort(-np.abs(parts), kind="stable")[:most]
    return [f"{parts[at]:+.3f}  {lines[at]}" for at in ranked.tolist()]


def _value(name: str, unit: str, dense: float) -> str:
    """What the featurizer was given, as people say it."""
    if unit == "flag":
        return "yes" if dense > 0.5 else "no"
    plain = float(np.expm1(dense * LOGS[name][1]))
    if unit == "count":
        return f"{plain:.3g}"
    hours = plain * {"seconds": 1 / 3600, "hours": 1.0, "days": _DAYS}[unit]
    if hours >= 2 * _DAYS:
        return f"{hours / _DAYS:.1f} days"
    return f"{hours:.1f} hours" if hours >= 1 else f"{hours * 60:.0f} minutes"
