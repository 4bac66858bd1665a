"""Liveness by progress: a partition that has something to do and does not get on for too long ends the worker.

It runs in a thread of its own and asks the broker itself for the ends of the partitions, so that neither a consumer
that stopped in silence nor a blocked event loop can hide from it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, KafkaException, TopicPartition
from faust.types import TP

from schemas.kafka import confluent_config
from schemas.settings import Settings

if TYPE_CHECKING:
    from streams.partition import Partition

log = logging.getLogger("intentflow.watchdog")
ANSWER_S = 5.0
LAST_WORDS_S = 10.0  # for an orderly end, before the process is ended as it stands
EXIT = 75


class Stuck(RuntimeError):
    """A partition has records to process and made no progress."""


class Watchdog:
    """Looks at every partition six times in `stuck_after_s`; `end` is called once, from its thread, with the reason."""

    def __init__(
        self, settings: Settings, partitions: Mapping[TP, Partition], end: Callable[[Stuck], None]
    ) -> None:
        self._settings, self._partitions, self._end = settings, partitions, end
        self._seen: dict[TP, tuple[object, float]] = {}  # what was seen last, and since when
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Idempotent."""
        if self._thread.ident is None:
            self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def quiet(self, tp: TP, now: float) -> float:
        """Seconds for which the partition did not get on although it had to; 0 when all is well."""
        seen = self._seen.get(tp)
        return 0.0 if seen is None else now - seen[1]

    def stuck(self, now: float) -> list[TP]:
        """Partitions that are quiet for longer than `stuck_after_s`."""
        return [tp for tp in self._partitions if self.quiet(tp, now) > self._settings.stuck_after_s]

    def look(self, ends: Mapping[TP, int], now: float) -> None:
        """Compare with the last look. ends: next offsets of the source partitions, as the broker tells them."""
        for tp, partition in list(self._partitions.items()):
            if tp not in ends or not partition.behind(ends[tp]):
                self._seen.pop(tp, None)
                continue
            now_seen = (id(partition), partition.mark())
            seen = self._seen.get(tp)
            if seen is None or seen[0] != now_seen:
                self._seen[tp] = (now_seen, now)
        for tp in self._seen.keys() - self._partitions.keys():
            del self._seen[tp]

    def _run(self) -> None:
        consumer = Consumer(confluent_config(self._settings, group_id=f"{self._settings.app_id}-watchdog"))
        while not self._stop.wait(self._settings.stuck_after_s / 6):
            now = time.monotonic()
            self.look(self._ends(consumer), now)
            stuck = self.stuck(now)
            if stuck:
                names = ", ".join(f"{tp.topic}-{tp.partition}" for tp in sorted(stuck))
                self._give_up(
                    Stuck(f"{names}: records to process, no progress for {self._settings.stuck_after_s:g} s")
                )
                break
        consumer.close()

    def _ends(self, consumer: Consumer) -> dict[TP, int]:
        """Ends by partition, as a read_committed consumer sees them. A broker that does not answer says nothing."""
        ends: dict[TP, int] = {}
        for tp in list(self._partitions):
            try:
                ends[tp] = consumer.get_watermark_offsets(TopicPartition(tp.topic, tp.partition), ANSWER_S)[1]
            except KafkaException as problem:
                log.warning("cannot ask for the end of %s-%d: %s", tp.topic, tp.partition, problem)
                self._seen.pop(tp, None)
        return ends

    def _give_up(self, stuck: Stuck) -> None:
        log.error("%s; the worker ends so that it is started again", stuck)
        self._end(stuck)
        if not self._stop.wait(LAST_WORDS_S):
            os._exit(EXIT)
