"""What a partition is opened with: its changelogs in the store, and the state and stages of the pass over its events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from models.carried import carried
from models.usable import Bounds
from schemas.settings import Settings
from schemas.topics import Topics
from streams import changelog
from streams.checkpoint import Checkpointer
from streams.contacts import ContactBook
from streams.decode import Decoder
from streams.following import Model
from streams.progress import Progress
from streams.rows import Rows
from streams.sequences import Sequences
from streams.shoppers import Shoppers
from streams.stages import Codecs
from streams.store import Store


async def read_changelogs(
    settings: Settings, store: Store, partition: int, progress: Progress, stopped: Callable[[], bool]
) -> int:
    """Bring the store up to the end of both changelogs, in a thread; returns the number of records read.

    Cancelled, it ends only when the thread is through, which looks at `stopped`: the store may then be closed.
    """
    topics = Topics(settings)
    names = (topics.sequences_changelog, topics.contacts_changelog)
    reading = asyncio.ensure_future(
        asyncio.to_thread(changelog.read_on, settings, store, *names, partition, progress, stopped)
    )
    try:
        return await asyncio.shield(reading)
    except asyncio.CancelledError:
        await reading
        raise


def build(
    settings: Settings, model: Model, codecs: Codecs, store: Store, rows: int, live_from: int, begin: int
) -> Shoppers:
    """Nobody in memory yet. rows: slots of the matrix; live_from, begin: where publishing and redo begin."""
    matrix = Rows(carried(model.engine, rows), settings.ring_events, store.sequences)
    bounds = Bounds(settings.event_max_age_days, settings.event_max_ahead_s)
    return Shoppers(
        model,
        matrix,
        Sequences(matrix, model.engine, model.card.features),
        ContactBook(codecs.contact, store.contacts),
        store,
        Decoder(codecs.behavior_event, bounds, int(settings.max_event_bytes)),
        codecs,
        Checkpointer(matrix, settings.checkpoint_interval_s, time.monotonic(), begin),
        live_from,
        settings.coalesce_predictions,
    )
