"""Events sent at a steady rate by a process of its own, on a schedule that waits for nobody.

Each event has a moment when it is due. What stalls afterwards, the generator included, is in every latency that is
counted from that moment (no coordinated omission). How well the generator kept its schedule is measured with it.
"""

from __future__ import annotations

import gc
import multiprocessing
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Self

import numpy as np
from confluent_kafka import Producer

from bench.workload import Workload
from schemas.codec import Codec
from schemas.kafka import confluent_config
from schemas.registry import open_registry
from schemas.settings import Settings
from schemas.topics import Topics

LINGER_MS = 2  # of the producer; its default of 20 ms would be most of what is measured
PAUSE_S = 0.002
COMPRESSION = "lz4"  # zstd costs the generator twice as much for batches of a few events
ACKNOWLEDGED = (
    50  # one event in so many tells when the broker had it: a callback for each would cost too much
)
DELIVERY_S = 30.0
ENCODING_S = 300.0


@dataclass(frozen=True)
class Schedule:
    """Event n is due at begun + n / rate, monotonic seconds."""

    begun: float
    rate: float

    def due(self, numbers: np.ndarray) -> np.ndarray:
        return self.begun + numbers / self.rate

    def reached(self, moment: float) -> int:
        """How many events are due by then."""
        return max(0, int((moment - self.begun) * self.rate) + 1)


@dataclass(frozen=True)
class Sent:
    """How the schedule was kept. Seconds after due: `handed` to the producer, `acknowledged` by the broker.

    numbers: the events that the two were taken of. wall: wall clock less monotonic clock, s. cpu: seconds of one core.
    """

    numbers: np.ndarray
    handed: np.ndarray
    acknowledged: np.ndarray
    wall: float
    cpu: float


def timed(shoppers: int, rate: float, seconds: float) -> Workload:
    """The events of the next `seconds`, at the times when they are due."""
    now = int(time.time() * 1000)
    events = int(rate * seconds)
    span = events / rate
    return Workload(
        shoppers,
        events,
        seed=now % 100_000,
        days=span / 86_400,
        first=now,
        end=now + round(span * 1000),
    )


class Sender:
    """Sends a workload at `rate` events/s. A context manager; `start` begins once everything is encoded.

    Raises RuntimeError when its process ends early or the broker does not take the events.
    """

    def __init__(self, settings: Settings, workload: Workload, rate: float) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._rate = rate
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_send, args=(settings, workload, rate, theirs), daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        self._receive(ENCODING_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()

    def start(self) -> Schedule:
        """Events are due from a moment from now on."""
        schedule = Schedule(time.monotonic() + 0.2, self._rate)
        self._pipe.send(schedule)
        return schedule

    def wait(self, seconds: float) -> Sent:
        """Until everything is sent and acknowledged, at most so long."""
        sent = self._receive(seconds + DELIVERY_S)
        assert isinstance(sent, Sent)
        return sent

    def _receive(self, timeout_s: float) -> Any:
        if not self._pipe.poll(timeout_s):
            raise RuntimeError(f"the generator of events did not answer within {timeout_s:g} s")
        try:
            return self._pipe.recv()
        except EOFError:
            raise RuntimeError("the generator of events ended early; its error is above") from None


def _send(settings: Settings, workload: Workload, rate: float, pipe: Connection) -> None:
    codec = Codec(open_registry(settings), "behavior_event")
    records: list[tuple[str, bytes]] = []
    for batch in workload.batches(codec.arrow_schema):
        records += zip(batch.column("user_id").to_pylist(), codec.encode(batch), strict=True)
    gc.collect()
    gc.freeze()  # a collection over a million records would be a stall of our own making
    producer = Producer(
        confluent_config(
            settings,
            enable_idempotence=True,
            partitioner="murmur2_random",
            compression_type=COMPRESSION,
            linger_ms=LINGER_MS,
        )
    )
    producer.list_topics(
        Topics(settings).behavior_events, timeout=DELIVERY_S
    )  # connected before the first is due
    pipe.send("ready")
    schedule: Schedule = pipe.recv()
    pipe.send(_keep(schedule, producer, Topics(settings).behavior_events, records))


def _keep(schedule: Schedule, producer: Producer, topic: str, records: list[tuple[str, bytes]]) -> Sent:
    """Hand every event over when it is due, as far as one thread can."""
    cpu, sent = time.process_time(), 0
    numbers: list[int] = []
    handed: list[float] = []
    acknowledged: dict[int, float] = {}

    def follow(number: int) -> Any:
        def noted(error: Any, message: Any) -> None:
            if error is None:
                acknowledged[number] = time.monotonic()

        return noted

    while sent < len(records):
        now = time.monotonic()
        due = min(schedule.reached(now), len(records))
        for number in range(sent, due):
            key, value = records[number]
            if number % ACKNOWLEDGED:
                producer.produce(topic, value=value, key=key)
            else:
                numbers.append(number)
                handed.append(time.monotonic())
                producer.produce(topic, value=value, key=key, on_delivery=follow(number))
        sent = max(due, sent)
        producer.poll(0)
        time.sleep(PAUSE_S)
    if producer.flush(DELIVERY_S) or len(acknowledged) < len(numbers):
        raise RuntimeError(f"the broker did not take all events within {DELIVERY_S:g} s")
    marked = np.array(numbers)
    return Sent(
        marked,
        np.array(handed) - schedule.due(marked),
        np.array([acknowledged[number] for number in numbers]) - schedule.due(marked),
        time.time() - time.monotonic(),
        time.process_time() - cpu,
    )
