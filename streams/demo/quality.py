"""Holds the demo's published predictions against what the households then did, beside the baseline."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime

from models import engine, promotion
from models.evaluation.report import Report
from models.replay import archive, source
from models.replay.dataset import build
from models.replay.evaluate import Choices, evaluate
from models.replay.predicted import COLUMNS, offline, published
from models.replay.redemption import Redemption
from models.replay.source import Interval
from schemas.settings import Settings

SHOWN = ("buy_7d", "lapse_30d")  # calibration tables


def report(settings: Settings, start: datetime, trained: datetime, live: datetime, end: datetime) -> Report:
    """Over the predictions whose horizon ended before `end`; all sides learnt from `start` to `trained` only."""
    begin, split, first, last = (int(moment.timestamp() * 1000) for moment in (start, trained, live, end))
    everything, judged = Interval(begin, last), Interval(first, last)
    dropped: Counter[str] = Counter()
    events = source.usable(
        archive.read_events(settings, everything), source.bounds(settings), everything, dropped
    )
    sequences = build(events, settings.ring_events, dropped)
    predicted = published(archive.read(settings, "predictions", judged, COLUMNS), sequences)
    promoted = promotion.promoted(settings)
    assert promoted is not None  # the worker would not have started
    release = promotion.find(settings, promoted.release)
    # A household that has been silent since before the stream went live has no published prediction. What stands for it
    # is what the same release says offline of its last event before, as a backfill would have published it. Thresholds are
    # chosen on what it says of the months that it was trained on.
    backend = engine.load(release.uri, settings.engine, settings.device, settings.engine_threads)
    standing = offline(sequences, backend, release.card.features, begin).before(first)
    predicted = standing.followed_by(predicted)
    redemption = Redemption.from_json(release.card.metrics.get("redemption"))
    choices = Choices(calibration=release.card.calibration, spec=release.card.features)
    found = evaluate(sequences, predicted, Interval(begin, split), judged, redemption, choices)
    epochs = tuple(release.card.metrics.get("epochs", ()))
    return replace(found, of=f"{release.id} live", epochs=epochs)
