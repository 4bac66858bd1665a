"""What a partition is opened with: its changelogs in the store, and the state and stages of the pass over its events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from models.carried import carried
from models.usable import Bounds
from schemas.settings import Settings
from schemas.topics import Topics
from streams import changelog
from streams.budgets import KEY as BOOKS
from streams.budgets import Budgets
from streams.checkpoint import Checkpointer
from streams.contacts import ContactBook
from streams.decode import Decoder
from streams.model import Model
from streams.passing import Pass
from streams.progress import Progress
from streams.rows import Rows
from streams.sequences import Sequences
from streams.shoppers import Shoppers
from streams.stages import Codecs
from streams.store import Store
from streams.timers import PREFIX, Timers

T = TypeVar("T")


async def read_changelogs(
    settings: Settings, store: Store, partition: int, progress: Progress, stopped: Callable[[], bool]
) -> int:
    """Bring the store up to the end of both changelogs, in a thread; returns the number of records read.

    Cancelled, it ends only when the thread is through, which looks at `stopped`: the store may then be closed.
    """
    topics = Topics(settings)
    names = (topics.sequences_changelog, topics.contacts_changelog)
    return await whole(
        asyncio.to_thread(changelog.read_on, settings, store, *names, partition, progress, stopped)
    )


async def contacts_changed(
    settings: Settings, store: Store, partition: int, stopped: Callable[[], bool]
) -> bool:
    """Whether contacts-changelog holds something that the store has not."""
    topic, known = Topics(settings).contacts_changelog, store.meta("contacts") or 0
    return await whole(asyncio.to_thread(changelog.written_since, settings, topic, partition, known, stopped))


async def whole(act: Coroutine[Any, Any, T]) -> T:
    """What `act` returns. Cancelled, this ends only when `act` is through."""
    acting = asyncio.ensure_future(act)
    try:
        return await asyncio.shield(acting)
    except asyncio.CancelledError:
        await asyncio.wait([acting])
        raise


def build(
    settings: Settings,
    partition: int,
    model: Model,
    codecs: Codecs,
    store: Store,
    rows: int,
    live_from: int,
    begin: int,
) -> Shoppers:
    """Nobody in memory yet. rows: slots of the matrix; live_from, begin: where publishing and redo begin."""
    checkpoint = store.checkpoint()
    watermark = 0 if checkpoint is None else checkpoint.watermark
    timers = Timers(store.records(PREFIX), round(settings.timer_lateness_s * 1000), watermark)
    books = dict(store.records(BOOKS)).get(BOOKS)
    budgets = Budgets(books, partition, settings.partitions)
    matrix = Rows(carried(model.engine, rows), settings.ring_events, store.sequences)
    return Shoppers(
        model,
        matrix,
        Sequences(matrix, model.engine, model.card.features),
        ContactBook(codecs.contact, store.contacts, timers=timers, budgets=budgets),
        store,
        codecs,
        Checkpointer(matrix, settings.checkpoint_interval_s, time.monotonic(), begin),
        live_from,
    )


def build_pass(settings: Settings, codecs: Codecs) -> Pass:
    """The pass that all partitions of a worker share."""
    bounds = Bounds(settings.event_max_age_days, settings.event_max_ahead_s)
    decoder = Decoder(codecs.behavior_event, bounds, int(settings.max_event_bytes))
    return Pass(codecs, decoder, settings.coalesce_predictions)
