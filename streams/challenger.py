"""The challenger: a release that scores what the champion scores, in shadow, and is never acted on.

`intentflow models challenge` names it under a key of its own on model-releases; shadow.py steps it. Whatever is wrong
with it costs the challenger its place and nothing else: it is dropped, with a reason that is counted and a line in the
log, until the next record names one or the worker starts again.
"""

from __future__ import annotations

import logging
from typing import Any

from prometheus_client import Counter, Gauge

from models.release import NotFinite, OtherFeatures, ReleaseProblem
from streams.model import Model

log = logging.getLogger("intentflow.challenger")

REASONS = ("unreadable", "feature_spec", "not_finite", "raised")
DROPPED = Counter(
    "intentflow_challengers_dropped_total",
    "Challengers that take no further part",
    ["reason"],
)
for _reason in REASONS:  # from 0 on: an alert sees the first one, too
    DROPPED.labels(_reason)
INFO = Gauge("intentflow_challenger_info", "1 for the release in shadow", ["release"])


_REASONS: dict[type[Exception], str] = {OtherFeatures: "feature_spec", NotFinite: "not_finite"}


class Challenger:
    """A release in shadow. `dropped`: why it is no longer, "" while it is. Shared by a worker's partitions."""

    def __init__(self, release: str, model: Model | None) -> None:
        self.release, self._model = release, model
        self.dropped = ""

    @property
    def model(self) -> Model:
        """Of one that was not refused."""
        assert self._model is not None
        return self._model

    def drop(self, fault: Exception, otherwise: str = "raised") -> None:
        """It takes no further part. otherwise: the reason if the fault names none of its own."""
        reason = _REASONS.get(type(fault), otherwise)
        self.dropped = f"{reason}: {fault}"
        DROPPED.labels(reason).inc()
        trace = None if isinstance(fault, ReleaseProblem) else fault
        log.error(
            "challenger %s is dropped, the champion goes on: %s", self.release, self.dropped, exc_info=trace
        )

    def page(self) -> dict[str, Any]:
        """For /health."""
        return {"release": self.release, "dropped": self.dropped or None}


def in_shadow(release: str | None) -> None:
    """Of the gauge: one series at a time."""
    if release is None:
        INFO.clear()
    elif (release,) not in INFO._metrics:
        INFO.clear()
        INFO.labels(release).set(1)


def refused(release: str, fault: Exception) -> Challenger:
    """One that does not even begin."""
    found = Challenger(release, None)
    found.drop(fault, "unreadable")
    return found


def check_fits(challenger: Model, champion: Model) -> None:
    """OtherFeatures unless it can share the champion's rows, whose contexts count sessions as the champion's spec does."""
    own, rows = challenger.card.features.session_gap_s, champion.card.features.session_gap_s
    if own != rows:
        raise OtherFeatures(
            f"{challenger.engine.release_id} begins a session after {own:g} s, the release in use after {rows:g} s, and they "
            "share their rows: hold them against each other offline with `intentflow replay run`"
        )
