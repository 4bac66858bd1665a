"""`make bench-latency`: from when an event was due to when a read_committed consumer could read its intervention.

For each guarantee: the worker's saturation throughput is taken on a backlog, with the policy in force; then events come
at 10, 50 and 80 % of it. Generator (bench/steady.py) and reader are processes of their own; the reader follows nothing
but `interventions`, as a marketing system would. An intervention names its event by the event's time, which rises evenly
here: that is good to a millisecond, and rounded against us. What comes during the warm-up is thrown away.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from confluent_kafka import OFFSET_END, Consumer, TopicPartition

from bench import report
from bench.deployment import deploy
from bench.processes import (
    Committed,
    Figures,
    Sample,
    Worker,
    follow,
    sample,
    say,
)
from bench.steady import Schedule, Sender, Sent, timed
from bench.throughput import saturation
from bench.warming import SHOPPERS, drain, settle
from bench.workload import Workload, produce
from schemas.codec import Codec
from schemas.kafka import confluent_config
from schemas.registry import open_registry
from schemas.settings import Settings
from schemas.topics import Topics
from tests.brokers import kafka

LOADS = (0.1, 0.5, 0.8)
JUDGED = "at_50%"
BARS_MS = {"exactly_once": 60.0, "at_least_once": 25.0}
LIMIT_S = 600.0
TAIL_S = 0.5  # from the last commit to its intervention
READY_S = 60.0
QUANTILES = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "max": 1.0}


class Read(NamedTuple):
    """Interventions (N,) as they came: event_time ms, `built` = record timestamp ms, `read` monotonic seconds."""

    event_time: np.ndarray
    built: np.ndarray
    read: np.ndarray


def main() -> int:
    options = _options()
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="intentflow-bench-") as name, kafka.Kafka() as broker:
        for guarantee in BARS_MS:
            settings = deploy(
                broker.bootstrap,
                Path(name) / guarantee,
                guarantee=guarantee,
                app_id=f"bench-{guarantee}",
                topic_prefix=f"{guarantee}-",
            )
            say(guarantee.replace("_", " "))
            figures[guarantee] = measure(settings, broker.pid, Path(name), options)
    bars = [
        report.at_most(
            f"p99 at half load, {guarantee.replace('_', ' ')}, ms", figures[guarantee][JUDGED]["p99_ms"], bar
        )
        for guarantee, bar in BARS_MS.items()
    ]
    return report.finish("latency", figures, bars, {"kafka": kafka.VERSION}, report.trial())


def measure(settings: Settings, broker_pid: int, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Figures of one guarantee: throughput at saturation, then latency at each load."""
    workload = Workload(SHOPPERS, options.events)
    produce(settings, workload)
    with Worker(settings, folder) as worker:
        samples = follow(worker, broker_pid, lambda now: now.committed >= workload.events, LIMIT_S)
        most = saturation(samples, workload.events)["worker"]["events_per_s"]
        figures: dict[str, Any] = {"saturation_events_per_s": most}
        if options.settle:
            say("until the broker is compiled")
            figures["seconds_until_the_broker_was_compiled"] = settle(
                worker, broker_pid, most / 2, options.settle
            )
        for load in LOADS:
            rate = round(most * load)
            say(f"{rate:,} events/s")
            figures[f"at_{load:.0%}"] = at_rate(worker, broker_pid, rate, options.warm_up, options.seconds)
    return figures


def at_rate(worker: Worker, broker_pid: int, rate: float, warm_up: float, seconds: float) -> dict[str, Any]:
    """Latencies at `rate` events/s over `seconds`, in ms, after `warm_up` seconds that do not count.

    Raises RuntimeError when events are not committed two minutes after the last one.
    """
    settings, workload = worker.settings, timed(SHOPPERS, rate, warm_up + seconds)
    progress = Committed(settings, settings.app_id)
    goal = progress.total() + workload.events
    try:
        with Sender(settings, workload, rate) as sender, Reader(settings) as reader:
            schedule = sender.start()
            time.sleep(max(0.0, schedule.begun + warm_up - time.monotonic()))
            first = sample(worker, broker_pid, progress)
            sent = sender.wait(seconds)
            last = sample(worker, broker_pid, progress)
            drain(worker, progress, goal)
            time.sleep(TAIL_S)
            read = reader.stop()
    finally:
        progress.close()
    return figures_of(workload, schedule, sent, read, warm_up) | activity(
        first, last, sent, warm_up + seconds
    )


def figures_of(
    workload: Workload, schedule: Schedule, sent: Sent, read: Read, warm_up: float
) -> dict[str, Any]:
    """Quantiles in ms of what was due after the warm-up, whole and by part.

    due to acknowledged: the event is in Kafka. due to built: its intervention is in a record batch, about to be sent.
    built to read: the transaction, and the reader's fetch.
    """
    numbers = number_by_time(workload, schedule.rate, read.event_time)
    counted = numbers >= warm_up * schedule.rate
    if not counted.any():
        raise RuntimeError("no intervention came: is the policy in force?")
    due, built = schedule.due(numbers[counted]), read.built[counted] / 1000 - sent.wall
    marked = sent.numbers >= warm_up * schedule.rate
    return {
        "rate_per_s": schedule.rate,
        "interventions": int(counted.sum()),
        "interventions_per_100_events": 100 * len(numbers) / workload.events,
        **quantiles("", read.read[counted] - due),
        "parts": {
            **quantiles("due_to_handed_over_", sent.handed[marked]),
            **quantiles("due_to_acknowledged_", sent.acknowledged[marked]),
            **quantiles("due_to_built_", built - due),
            **quantiles("built_to_read_", read.read[counted] - built),
        },
    }


def activity(first: Sample, last: Sample, sent: Sent, seconds: float) -> dict[str, Any]:
    """What worker, broker and generator did meanwhile."""
    wall, events = last.at - first.at, max(last.committed - first.committed, 1)
    batches = _grown(first, last, "intentflow_batch_events_count")
    return {
        "worker": {
            "events_per_batch": events / max(batches, 1.0),
            "transactions_per_s": batches / wall,
            "oldest_of_batch_to_commit_p50_ms": 1000 * bucket_quantile(first.metrics, last.metrics, 0.5),
            "oldest_of_batch_to_commit_p99_ms": 1000 * bucket_quantile(first.metrics, last.metrics, 0.99),
            "cpu_us_per_event": (last.cpu - first.cpu) / events * 1e6,
            "cores_used": (last.cpu - first.cpu) / wall,
            "broker_cores_used": (last.broker_cpu - first.broker_cpu) / wall,
            "generator_cores_used": sent.cpu / seconds,
        }
    }


def number_by_time(workload: Workload, rate: float, times: np.ndarray) -> np.ndarray:
    """The first event (N,) of the workload whose time, cut to a millisecond, can be each of `times` (N,), ms."""
    begin = workload.end - workload.days * 86_400_000
    return np.maximum(np.ceil((times - begin) * rate / 1000 - 1 - 1e-6), 0.0)


def quantiles(prefix: str, seconds: np.ndarray) -> dict[str, float]:
    """p50, p99, p99.9 and the largest, in ms."""
    found = np.quantile(seconds * 1000, list(QUANTILES.values()))
    return {f"{prefix}{name}_ms": float(value) for name, value in zip(QUANTILES, found, strict=True)}


def bucket_quantile(
    before: Figures, after: Figures, share: float, name: str = "intentflow_latency_seconds"
) -> float:
    """A quantile of what a histogram took in between two looks, evenly spread within its bucket; 0 for nothing."""
    grown = sorted(
        (float(key[len(name) + 8 : -1]), value - before.get(key, 0.0))
        for key, value in after.items()
        if key.startswith(f"{name}_bucket[")
    )
    wanted, below, edge = share * (grown[-1][1] if grown else 0.0), 0.0, 0.0
    for upper, count in grown:
        if count >= wanted and count > below:
            return (
                edge if upper == float("inf") else edge + (upper - edge) * (wanted - below) / (count - below)
            )
        below, edge = count, upper
    return 0.0


class Reader:
    """A consumer of `interventions` in a process of its own, at their end when entered. A context manager."""

    def __init__(self, settings: Settings) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_read, args=(settings, theirs), daemon=True)

    def __enter__(self) -> Reader:
        self._process.start()
        self._receive()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()

    def stop(self) -> Read:
        self._pipe.send("stop")
        return Read(*self._receive())

    def _receive(self) -> Any:
        if not self._pipe.poll(READY_S):
            raise RuntimeError(f"the reader of interventions did not answer within {READY_S:g} s")
        return self._pipe.recv()


def _read(settings: Settings, pipe: Connection) -> None:
    """The reader: note when each record came, decode afterwards."""
    consumer = Consumer(
        confluent_config(
            settings,
            group_id=f"{settings.app_id}-latency",
            enable_auto_commit=False,
            isolation_level="read_committed",
            fetch_wait_max_ms=10,
        )
    )
    topic = Topics(settings).interventions
    consumer.assign([TopicPartition(topic, number, OFFSET_END) for number in range(settings.partitions)])
    consumer.poll(3.0)  # nothing is sent yet: positions are found and fetches stand by
    pipe.send("ready")
    came: list[tuple[float, int, bytes]] = []
    while not pipe.poll():
        message = consumer.poll(0.05)
        while message is not None:
            if message.error() is None:
                came.append((time.monotonic(), int(message.timestamp()[1]), bytes(message.value() or b"")))
            message = consumer.poll(0.05)
    consumer.close()
    rows = Codec(open_registry(settings), "intervention").decode_rows([value for _, _, value in came])
    times = np.array([row["event_time"] for row in rows], np.float64)
    pipe.send((times, np.array([built for _, built, _ in came]), np.array([read for read, _, _ in came])))


def _grown(first: Sample, last: Sample, name: str) -> float:
    return last.metrics.get(name, 0.0) - first.metrics.get(name, 0.0)


def _options() -> argparse.Namespace:
    short = report.fast()
    parser = argparse.ArgumentParser(prog="python -m bench.latency")
    parser.add_argument("--events", type=int, default=300_000 if short else 1_500_000, help="in the backlog")
    parser.add_argument("--seconds", type=float, default=5 if short else 30, help="at each load")
    parser.add_argument(
        "--settle",
        type=float,
        default=0 if short else 60,
        help="seconds at most until the broker is compiled",
    )
    parser.add_argument("--warm-up", type=float, default=2 if short else 5, help="seconds before them")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
