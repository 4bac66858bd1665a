"""Holds the demo's published predictions against what the households then did, beside the baseline."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from rich.table import Table

from models import promotion
from models.replay import archive, source
from models.replay.dataset import build
from models.replay.evaluate import evaluate
from models.replay.predicted import COLUMNS, published
from models.replay.redemption import Redemption
from models.replay.source import Interval
from schemas.settings import Settings

SHOWN = ("buy_7d", "lapse_30d")  # calibration tables


def report(
    settings: Settings, start: datetime, trained: datetime, live: datetime, end: datetime
) -> list[Table]:
    """Tables over the predictions whose horizon ended before `end`; both sides learnt from `start` to `trained` only."""
    begin, split, first, last = (int(moment.timestamp() * 1000) for moment in (start, trained, live, end))
    everything, judged = Interval(begin, last), Interval(first, last)
    dropped: Counter[str] = Counter()
    events = source.usable(
        archive.read_events(settings, everything), source.bounds(settings), everything, dropped
    )
    sequences = build(events, settings.ring_events, dropped)
    predicted = published(archive.read(settings, "predictions", judged, COLUMNS), sequences)
    promoted = promotion.promoted(settings)
    metrics = {} if promoted is None else promotion.find(settings, promoted.release).card.metrics
    redemption = Redemption.from_json(metrics.get("redemption"))
    return evaluate(sequences, predicted, Interval(begin, split), judged, redemption).tables(SHOWN)
