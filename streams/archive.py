"""The archive agent: events, predictions (a challenger's too), decisions and outcomes from Kafka to Parquet, each
committed record exactly once.

Side branch of the data flow: the replay job reads what stands here. Layout and files: see `archive_files`. Columns:
those of the topic's Avro schema, `_partition` int32, `_offset` int64, `_timestamp` int64 (record timestamp, ms).

Exactly once without a transaction over two systems: files are cut at fixed offsets (every FILE_OFFSETS), so whoever
writes a range again writes the same names over it, and the offset committed is always the start of the first range
that is not complete. A range not yet complete is written as far as it goes, and again when it has grown, but only by
an agent that has seen the end of its partition since it began: what it writes never holds less than what stood there.

librdkafka's consumer and no Faust: there is no state and no output topic here, and its own threads fetch and keep the
group's heartbeat while this one encodes Parquet. Several agents share the partitions as one consumer group.
Events are judged by the worker's own decoder: what the worker puts among the dead letters is counted and left out.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import prometheus_client
import pyarrow as pa
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from models.usable import Bounds
from schemas.codec import Codec
from schemas.kafka import wait_for_broker
from schemas.registry import open_registry
from schemas.settings import Settings
from schemas.topics import TopicProblem, Topics
from streams.agent_metrics import Meter
from streams.archive_files import ArchiveFiles, Range
from streams.decode import Decoder
from streams.side_agents import PASSING, Raw, consumer_config, until_told

# Fixed for the life of an archive: with another value the same records would go to files of other names.
FILE_OFFSETS = 32_768
WRITE_EVERY_S = 30.0

ARCHIVED = prometheus_client.Counter("intentflow_archived_total", "Rows taken into the archive", ["kind"])
SKIPPED = prometheus_client.Counter("intentflow_archive_skipped_total", "Records left out", ["reason"])
log = logging.getLogger(__name__)

Place = tuple[str, int]  # topic, partition
Offsets = npt.NDArray[np.int64]


def archive(
    settings: Settings,
    until_end: bool = False,
    instance: str = "",
    tell: Callable[["Archive"], None] | None = None,
) -> "Archive":
    """Run an agent until SIGTERM or SIGINT (or the topics' end), for use as a process; returns it with its counts."""
    agent = Archive(settings, instance)
    with until_told() as stop:
        agent.run(until_end, stop, tell)
    return agent


class Archive:
    """One archive agent. `rows` counts by kind what it took in, `skipped` by reason the records that it left out."""

    def __init__(
        self,
        settings: Settings,
        instance: str = "",
        file_offsets: int = FILE_OFFSETS,
        write_every_s: float = WRITE_EVERY_S,
    ) -> None:
        """instance: a name of this agent alone that stays over its restarts: after a crash it takes its partitions
        up again at once, without waiting for the session to time out (on noida-db that never happens).
        write_every_s: how often ranges that are not complete are written as far as they go.
        """
        topics, registry = Topics(settings), open_registry(settings)
        self._settings, self._file_offsets, self._write_every_s = settings, file_offsets, write_every_s
        self._instance = instance
        self._meter = Meter(settings, "archive")
        self._files = ArchiveFiles(settings.archive_uri)
        bounds = Bounds(settings.event_max_age_days, settings.event_max_ahead_s)
        self._decoder = Decoder(Codec(registry, "behavior_event"), bounds, int(settings.max_event_bytes))
        self._codecs = {
            topics.predictions: Codec(registry, "prediction"),
            topics.shadow_predictions: Codec(registry, "prediction"),
            topics.decisions: Codec(registry, "decision"),
            topics.outcomes: Codec(registry, "outcome"),
        }
        self._kinds = {
            topics.behavior_events: "events",
            topics.predictions: "predictions",
            topics.shadow_predictions: "shadow_predictions",
            topics.decisions: "decisions",
            topics.outcomes: "outcomes",
        }
        self._ranges: dict[Place, Range] = {}
        self._assigned: set[Place] = set()
        self._at_end: set[Place] = set()  # read to the end at least once since they were assigned
        self._waiting: list[TopicPartition] | None = None  # with until_end: those whose turn has not come
        self._consumer: Consumer | None = None
        self.rows: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()

    def run(
        self,
        until_end: bool = False,
        stop: threading.Event | None = None,
        tell: Callable[["Archive"], None] | None = None,
    ) -> None:
        """Archive until `stop` is set, or with `until_end` until every partition has been read to its end.

        What was read is then on disk, except what a partition not yet read to its end holds beyond its last complete
        range: the next run reads that again. `tell` is called with the agent about once a second. Raises TopicProblem
        for a missing topic, KafkaException when the broker refuses, OSError when the disk does.
        """
        stop, tell = stop or threading.Event(), tell or (lambda agent: None)
        self._waiting = [] if until_end else None
        wait_for_broker(self._settings)
        self._consumer = Consumer(consumer_config(self._settings, "archive", self._instance))
        try:
            self._subscribe(self._consumer)
            self._meter.start(serving=not until_end)
            written = told = time.monotonic()
            while not stop.is_set() and not (until_end and self._assigned and self._assigned <= self._at_end):
                self._take(self._meter.read(self._consumer, 0.2))
                now = time.monotonic()
                if now - written >= self._write_every_s:
                    self._write_incomplete()
                    written = now
                if now - told >= 1:
                    tell(self)
                    told = now
            self._write_incomplete()
            tell(self)
        finally:
            self._meter.stop()
            self._ranges.clear()  # after a failure, closing must not write
            self._consumer.close()

    def _subscribe(self, consumer: Consumer) -> None:
        there = consumer.list_topics(timeout=30).topics
        missing = [topic for topic in self._kinds if topic not in there]
        if missing:
            raise TopicProblem(
                f"topics to archive are missing: {', '.join(missing)}; mend: `intentflow topics create`"
            )
        consumer.subscribe(
            list(self._kinds), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._assigned |= {(p.topic, p.partition) for p in partitions}
        if self._waiting is not None and partitions:
            # A backlog is read partition by partition: what librdkafka holds unpacked is then the least.
            consumer.assign(partitions)
            self._waiting = partitions[1:]
            consumer.pause(self._waiting)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._write_incomplete()
        self._on_lost(consumer, partitions)

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Another agent may have these by now: what is in memory of them is no longer ours to write."""
        for place in {(p.topic, p.partition) for p in partitions}:
            self._assigned.discard(place)
            self._at_end.discard(place)
            self._ranges.pop(place, None)

    def _take(self, messages: list[Message]) -> None:
        records: dict[Place, list[Message]] = {}
        ended: set[Place] = set()
        for message in messages:
            place = (message.topic() or "", message.partition() or 0)
            error = message.error()
            if error is None:
                records.setdefault(place, []).append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                ended.add(place)
            elif error.code() not in PASSING:
                raise KafkaException(error)
        for place, of_place in records.items():
            self._take_partition(place, of_place)
        newly_ended = (ended & self._assigned) - self._at_end
        self._at_end |= newly_ended
        if newly_ended and self._waiting and self._consumer is not None:
            self._consumer.resume([self._waiting.pop()])

    def _take_partition(self, place: Place, messages: list[Message]) -> None:
        """Add records of one partition, in offset order, to its ranges; a range that ends is written and committed."""
        rows = self._decode(place, messages)
        offsets = rows["_offset"].to_numpy()
        self.rows[self._kinds[place[0]]] += len(offsets)
        ARCHIVED.labels(self._kinds[place[0]]).inc(len(offsets))
        # Ranges follow the offsets read, not those decoded: one whose records are all bad ends as well.
        seen = np.fromiter((message.offset() for message in messages), np.int64, len(messages))
        for first in (np.unique(seen // self._file_offsets) * self._file_offsets).tolist():
            range_ = self._range(place, first, int(seen[np.searchsorted(seen, first)]))
            low, high = np.searchsorted(offsets, [first, first + self._file_offsets]).tolist()
            if high > low:
                range_.rows.append(rows.slice(low, high - low))
                range_.grown = True

    def _range(self, place: Place, first: int, offset: int) -> Range:
        """The range that begins at `first`, now the partition's current one; `offset`: the first one read of it."""
        current = self._ranges.get(place)
        if current is not None and current.first == first:
            return current
        if current is not None:
            if current.grown:
                self._files.write(current)
            self._commit(place, first)
        new = self._ranges[place] = Range(self._kinds[place[0]], *place, first)
        if offset > first:
            # Kafka may have dropped the beginning of the range since it was archived: here it must stay.
            new.rows += self._files.before(new, offset)
        return new

    def _decode(self, place: Place, messages: list[Message]) -> pa.Table:
        """The good records as a table with their places; the others are counted."""
        codec = self._codecs.get(place[0])
        if codec is None:
            records = [Raw(m.key(), m.value(), m.offset() or 0, m.timestamp()[1]) for m in messages]
            events, dead = self._decoder.decode(records)
            reasons = [letter.reason for letter in dead]
            batch, offsets, timestamps = events.columns, events.offsets, events.timestamps
        else:
            decoded = codec.decode([message.value() for message in messages])
            reasons = [bad.reason for bad in decoded.bad]
            good = [messages[at] for at in decoded.index.tolist()]
            batch = decoded.batch
            offsets = np.array([message.offset() for message in good], np.int64)
            timestamps = np.array([message.timestamp()[1] for message in good], np.int64)
        for reason in reasons:
            self.skipped[reason] += 1
            SKIPPED.labels(reason).inc()
        return (
            pa.Table.from_batches([batch])
            .append_column("_partition", pa.repeat(pa.scalar(place[1], pa.int32()), len(offsets)))
            .append_column("_offset", pa.array(offsets, pa.int64()))
            .append_column("_timestamp", pa.array(timestamps, pa.int64()))
        )

    def _write_incomplete(self) -> None:
        for place, range_ in self._ranges.items():
            if range_.grown and place in self._at_end:
                self._files.write(range_)

    def _commit(self, place: Place, offset: int) -> None:
        assert self._consumer is not None
        try:
            self._consumer.commit(offsets=[TopicPartition(*place, offset)], asynchronous=False)
        except KafkaException as problem:
            # No harm: whoever reads on from the older offset writes the same files again.
            self._meter.trouble("commit_refused")
            log.warning("offset %d of %s-%d could not be committed: %s", offset, *place, problem)
