"""Sends a loader's events to `behavior-events`, as a shop would: the first process of the demo.

Record timestamps are the wall clock at sending, as they are for a live shop; the event's own time is in the event.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa

from schemas.kafka import wait_for_broker
from schemas.producer import EventProducer
from schemas.settings import Settings
from streams.loaders.base import BATCH_ROWS, Loader

STEPS_PER_S = 10  # with a rate limit, events go out in so many portions per second
SAY_EVERY_S = 2.0


@dataclass(frozen=True)
class Progress:
    """What was sent so far: number of events, seconds since the first, event time of the last (ms since 1970 UTC)."""

    events: int
    seconds: float
    event_time: int

    def __str__(self) -> str:
        day = np.datetime64(self.event_time, "ms").astype("datetime64[m]")
        return f"{self.events:,} events, {self.events / max(self.seconds, 1e-9):,.0f}/s, at {day} UTC"


def load(
    settings: Settings,
    loader: Loader,
    start: datetime | None = None,
    end: datetime | None = None,
    share: float | None = None,
    rate: float | None = None,
    event_timestamps: bool = False,
    tell: Callable[[Progress], None] | None = None,
) -> int:
    """Send `loader.events(start, end, share)`; returns how many were sent, once Kafka has them all.

    rate: most events per second; None = as fast as Kafka takes them. event_timestamps: give records the event
    time as timestamp (topics then drop events older than their retention). tell: called after every portion;
    by default a line is printed every two seconds. Raises DeliveryFailed when Kafka refuses some.
    """
    if rate is not None and rate <= 0:
        raise ValueError(f"rate is {rate}: give events per second above 0, or leave it out")
    rows = BATCH_ROWS if rate is None else max(1, min(BATCH_ROWS, round(rate / STEPS_PER_S)))
    tell = tell or _printer()
    wait_for_broker(settings)
    begun, sent = time.monotonic(), 0
    with EventProducer(settings) as producer:
        for batch in loader.events(start, end, share, rows):
            times = batch["event_time"].cast(pa.int64()).to_numpy()
            producer.send_batch(batch, times if event_timestamps else None)
            sent += batch.num_rows
            tell(Progress(sent, time.monotonic() - begun, int(times[-1])))
            if rate is not None:
                time.sleep(max(0.0, begun + sent / rate - time.monotonic()))
    return sent


def _printer() -> Callable[[Progress], None]:
    due = time.monotonic() + SAY_EVERY_S

    def tell(progress: Progress) -> None:
        nonlocal due
        if time.monotonic() >= due:
            print(progress, flush=True)
            due = time.monotonic() + SAY_EVERY_S

    return tell
