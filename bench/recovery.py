"""`make bench-recovery`: how fast a worker stands up again.

Changelog: a wiped data folder is filled from a changelog that holds a million shoppers' rows. What that allows is
measured in the same run: reading alone, with the same client, and writing the same rows to RocksDB alone. Reading and
writing can overlap as far as there are cores for both, so the limit is the slower of the two, or what all cores make of
the CPU that the two take together, the broker's included, if that is less.
Redo: a worker is killed -9 in the middle of a backlog; its successor applies again what no checkpoint covers, and
publishes nothing. Its rate against the first one's live rate on the same backlog.
Takeover: two workers, a steady load; one is killed -9. Counted from when the group noticed (its state in the broker is
asked all the time) to the first commit on each partition of the dead one.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, ConsumerGroupState, TopicPartition
from confluent_kafka.admin import AdminClient

from bench import report
from bench.deployment import deploy
from bench.processes import Committed, Fleet, Worker, cpu_seconds, follow, say
from bench.seeding import fill_changelog, partition_of, rows, shuffled
from bench.steady import Sender, timed
from bench.throughput import saturation
from bench.warming import warm
from bench.workload import Workload, produce
from schemas.kafka import confluent_config
from schemas.settings import Settings
from schemas.topics import Topics
from streams import changelog
from streams.progress import Progress
from streams.store import Store
from streams.worker import tune_interpreter
from tests.brokers import kafka

ROWS_BAR = 150_000.0  # rows/s ...
SHARE_BAR = 80.0  # ... or % of what reading and RocksDB allow
REDO_BAR = 1.3
TAKEOVER_BAR_S = 5.0
STANDBY = "standby_replicas"
BACKLOG_SHOPPERS = 100_000
KILL_AT = 0.8  # of the backlog
LIMIT_S = 600.0
TAKEOVER_LIMIT_S = 120.0
LOOK_S = 0.02


def main() -> int:
    options = _options()
    tune_interpreter()  # rows are read here as a worker reads them
    with tempfile.TemporaryDirectory(prefix="intentflow-bench-") as name, kafka.Kafka() as broker:
        folder = Path(name)
        warm(broker, folder)
        settings = _deployed(broker, folder, "changelog")
        say(f"rows of {options.shoppers:,} shoppers into the changelog")
        values = rows(settings)
        fill_changelog(settings, options.shoppers, values)
        _commit(settings)
        figures: dict[str, Any] = {
            "changelog": changelog_speed(settings, broker.pid, folder, options.shoppers, values),
            "redo": redo_speed(_deployed(broker, folder, "redo"), broker.pid, folder, options.events),
            "takeover": takeover(settings, folder, options),
        }
    return report.finish("recovery", figures, bars(figures), {"kafka": kafka.VERSION}, report.trial())


def bars(figures: dict[str, Any]) -> list[report.Bar]:
    """Of the two bars for the changelog one is enough: rows/s, or the share of what is possible."""
    found = figures["changelog"]
    rate = found["into_the_store"]["rows_per_s"]
    if rate >= ROWS_BAR:
        first = report.at_least("changelog rows/s", rate, ROWS_BAR)
    else:
        first = report.at_least(
            "changelog rows/s, % of what reading and RocksDB allow on these cores",
            found["share_of_limit_%"],
            SHARE_BAR,
        )
    return [
        first,
        report.at_least("redo over live, events/s", figures["redo"]["over_live"], REDO_BAR),
        report.at_most(
            "takeover beyond detection, s", figures["takeover"]["beyond_detection_s"], TAKEOVER_BAR_S
        ),
    ]


def changelog_speed(
    settings: Settings, broker_pid: int, folder: Path, shoppers: int, values: list[bytes]
) -> dict[str, Any]:
    """Rows/s from changelog to store, of reading alone and of writing alone; all partitions at once, as at a start."""
    numbers, topics = range(settings.partitions), Topics(settings)

    def fill(number: int) -> int:
        store = _store(settings, folder / "filled", number)
        logs = topics.sequences_changelog, topics.contacts_changelog
        try:
            return changelog.read_on(settings, store, *logs, number, Progress())
        finally:
            store.close()

    say("from the changelog into the store")
    whole = _measured(shoppers, fill, numbers, broker_pid)
    say("reading alone")
    reading = _measured(shoppers, lambda number: _read(settings, number), numbers, broker_pid)
    say("writing alone")
    portions = _portions(settings, shoppers, values)

    def write(number: int) -> int:
        return _write(_store(settings, folder / "written", number), portions[number])

    writing = _measured(shoppers, write, numbers, broker_pid)
    cpu = sum(part[whose] for part in (reading, writing) for whose in ("cpu_us_per_row", "broker_us_per_row"))
    cores = 1e6 * len(os.sched_getaffinity(0)) / cpu
    limit = min(reading["rows_per_s"], writing["rows_per_s"], cores)
    return {
        "rows": shoppers,
        "row_bytes": len(values[0]),
        "into_the_store": whole,
        "reading_alone": reading,
        "writing_alone": writing,
        "cores_allow_rows_per_s": cores,
        "share_of_the_slower_%": 100
        * whole["rows_per_s"]
        / min(reading["rows_per_s"], writing["rows_per_s"]),
        "share_of_limit_%": 100 * whole["rows_per_s"] / limit,
    }


def redo_speed(settings: Settings, broker_pid: int, folder: Path, events: int) -> dict[str, Any]:
    """Events/s live and, after a kill -9, again."""
    say("live, until a kill")
    produce(settings, Workload(BACKLOG_SHOPPERS, events))
    with Worker(settings, folder) as worker:
        samples = follow(worker, broker_pid, lambda now: now.committed >= KILL_AT * events, LIMIT_S)
        worker.kill()
    live = saturation(samples, events)["worker"]["events_per_s"]
    say("redo")
    with Worker(settings, folder).launched() as after:
        redone = list(_redoing(after))
    (begin, first), (end, last) = redone[0], redone[-1]
    rate = (last - first) / (end - begin)
    return {
        "live_events_per_s": live,
        "redo_events_per_s": rate,
        "measured_s": end - begin,
        "measured_events": last - first,
        "over_live": rate / live,
    }


def takeover(settings: Settings, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Two workers under a steady load, one killed: seconds until its partitions commit again."""
    standby = STANDBY in Settings.model_fields
    if standby:
        settings = settings.model_copy(update={STANDBY: 1})
    say(f"two workers, {options.shoppers:,} shoppers, {'a standby' if standby else 'no standby'}")
    workload = timed(options.shoppers, options.rate, options.warm_up + TAKEOVER_LIMIT_S)
    with Fleet(settings, folder, 2) as fleet, Sender(settings, workload, options.rate) as sender:
        sender.start()
        time.sleep(options.warm_up)
        fleet.check()
        victim = fleet.workers[0]
        orphans = set(victim.states())
        victim.kill()
        detected, back = _watch(settings, orphans, time.monotonic())
    return {
        "shoppers": options.shoppers,
        "events_per_s": options.rate,
        "standby_replicas": int(standby),
        "detection_s": detected,
        "first_commit_s": {f"partition_{number}": seconds for number, seconds in sorted(back.items())},
        "beyond_detection_s": max(back.values()) - detected,
    }


def _watch(settings: Settings, orphans: set[int], killed: float) -> tuple[float, dict[int, float]]:
    """Seconds from the kill until the group noticed, and until the first commit on each partition of the dead."""
    admin, progress = AdminClient(confluent_config(settings)), Committed(settings, settings.app_id)
    before, detected, back = progress.by_partition(), 0.0, dict[int, float]()
    try:
        while len(back) < len(orphans):
            group = admin.describe_consumer_groups([settings.app_id])[settings.app_id].result(30.0)
            now = time.monotonic() - killed
            if not detected and group.state != ConsumerGroupState.STABLE:
                detected = now
            for number, offset in progress.by_partition().items():
                if not detected:
                    before[number] = offset  # what was under way when it was killed
                elif number in orphans and offset > before[number]:
                    back.setdefault(number, time.monotonic() - killed)
            if now > TAKEOVER_LIMIT_S:
                raise RuntimeError(f"partitions {orphans - back.keys()} did not commit within {now:.0f} s")
            time.sleep(LOOK_S)
    finally:
        progress.close()
    return detected, back


def _redoing(worker: Worker) -> Iterator[tuple[float, float]]:
    """(monotonic seconds, events redone) while every partition is at it. RuntimeError when that is over too soon."""
    deadline, looks = time.monotonic() + LIMIT_S, 0
    while time.monotonic() < deadline:
        worker.check()
        metrics, states = worker.metrics(), list(worker.states().values())
        if "live" in states:
            break
        if len(states) == worker.settings.partitions and set(states) == {"redo"}:
            redone = sum(
                value for name, value in metrics.items() if name.startswith("intentflow_redone_total[")
            )
            if redone:
                looks += 1
                yield time.monotonic(), redone
        time.sleep(0.1)
    if looks < 3:
        raise RuntimeError(f"redo was over too soon to measure: more --events\n{worker.tail()}")


def _measured(count: int, each: Callable[[int], int], numbers: range, broker_pid: int) -> dict[str, float]:
    """Rows/s of all partitions at once, a thread each as in the worker, and CPU µs per row of this process and the broker.

    RuntimeError unless they were `count` rows together.
    """
    begun, cpu, broker = time.monotonic(), time.process_time(), cpu_seconds(broker_pid)
    with ThreadPoolExecutor(len(numbers)) as threads:
        done = sum(threads.map(each, numbers))
    took, used = time.monotonic() - begun, time.process_time() - cpu
    broker = cpu_seconds(broker_pid) - broker
    if done != count:
        raise RuntimeError(f"{done:,} rows of {count:,} were read")
    return {
        "rows_per_s": count / took,
        "cpu_us_per_row": 1e6 * used / count,
        "broker_us_per_row": 1e6 * broker / count,
    }


def _read(settings: Settings, number: int) -> int:
    """A partition of the changelog, to its end, and nothing done with it."""
    consumer = Consumer(
        confluent_config(
            settings,
            group_id=f"{settings.app_id}-reading",
            enable_auto_commit=False,
            isolation_level="read_committed",
            enable_partition_eof=True,
            max_partition_fetch_bytes=8 << 20,
        )
    )
    consumer.assign([TopicPartition(Topics(settings).sequences_changelog, number, OFFSET_BEGINNING)])
    done, ended, deadline = 0, False, time.monotonic() + LIMIT_S
    while not ended and time.monotonic() < deadline:
        messages = consumer.consume(changelog.RECORDS, timeout=0.2)
        read = sum(message.error() is None for message in messages)
        done, ended = done + read, read < len(messages)
    consumer.close()
    return done


def _portions(settings: Settings, shoppers: int, values: list[bytes]) -> list[list[dict[bytes, bytes]]]:
    """By partition: the changelog's rows in its order, as many in each portion as one write takes."""
    partitions = partition_of(shoppers, settings.partitions)
    found = []
    for number in range(settings.partitions):
        paired = zip(
            itertools.chain.from_iterable(shuffled(partitions, number)), itertools.cycle(values), strict=False
        )
        portions = iter(lambda paired=paired: dict(itertools.islice(paired, changelog.RECORDS)), {})
        found.append(list(portions))
    return found


def _write(store: Store, portions: list[dict[bytes, bytes]]) -> int:
    """All portions into a store, which is closed; returns the number of rows."""
    written = 0
    with store.filling():  # as a start does
        for portion in portions:
            written += len(portion)
            store.write(portion, {}, {"sequences": written})
    store.close()
    return written


def _commit(settings: Settings) -> None:
    """The group has been here before, as it has when there are rows: nothing of behavior-events is done yet."""
    consumer = Consumer(confluent_config(settings, group_id=settings.app_id))
    topic = Topics(settings).behavior_events
    begin = [TopicPartition(topic, number, 0) for number in range(settings.partitions)]
    consumer.commit(offsets=begin, asynchronous=False)
    consumer.close()


def _store(settings: Settings, folder: Path, number: int) -> Store:
    """As a partition opens its own."""
    share = max(int(settings.block_cache_bytes) // settings.partitions, 1 << 20)
    return Store(folder / str(number), share, int(settings.write_buffer_bytes))


def _deployed(broker: kafka.Kafka, folder: Path, name: str) -> Settings:
    return deploy(
        broker.bootstrap,
        folder / name,
        policy=False,
        app_id=f"bench-{name}",
        topic_prefix=f"{name}-",
    )


def _options() -> argparse.Namespace:
    short = report.fast()
    parser = argparse.ArgumentParser(prog="python -m bench.recovery")
    parser.add_argument("--shoppers", type=int, default=100_000 if short else 1_000_000)
    parser.add_argument(
        "--events", type=int, default=300_000 if short else 1_200_000, help="of the redo backlog"
    )
    parser.add_argument(
        "--rate", type=int, default=2_000 if short else 5_000, help="events/s at the takeover"
    )
    parser.add_argument(
        "--warm-up", type=float, default=5 if short else 30, help="seconds of load before the kill"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
