"""A broker made ready for a measurement: a JVM that was started a minute ago spends half a core on compiling itself.

That half core is taken from whatever is measured first, and from nobody after it.
"""

from __future__ import annotations

import time
from pathlib import Path

from bench import report
from bench.deployment import deploy
from bench.processes import Committed, Worker, compiler_seconds, say
from bench.steady import Sender, timed
from schemas.topics import Topics
from tests.brokers.kafka import Kafka

SHOPPERS = 100_000
RATE = 15_000.0  # events/s
SECONDS = {True: 0.0, False: 120.0}  # at most, by whether the run is a short one
LOOK_S, COMPILED = 5.0, 0.08  # looks at the broker's compilers, and the share of a core that is little
DRAIN_S = 120.0  # how long the last events may take to be committed


def warm(broker: Kafka, folder: Path) -> float:
    """A worker takes a steady stream, on topics of its own, until the broker is compiled. Returns the seconds it took; none
    in a short run."""
    seconds = SECONDS[report.fast()]
    if not seconds:
        return 0.0
    say("until the broker is compiled")
    settings = deploy(broker.bootstrap, folder / "warming", app_id="warming", topic_prefix="warming-")
    with Worker(settings, folder) as worker:
        return settle(worker, broker.pid, RATE, seconds)


def settle(worker: Worker, broker_pid: int, rate: float, seconds: float) -> float:
    """Send at `rate` events/s until the broker's JVM has compiled what that takes, for `seconds` at most. Returns the
    seconds it took."""
    with Sender(worker.settings, timed(SHOPPERS, rate, seconds), rate) as sender:
        sender.start()
        begun, used = time.monotonic(), compiler_seconds(broker_pid)
        while time.monotonic() - begun < seconds:
            time.sleep(LOOK_S)
            before, used = used, compiler_seconds(broker_pid)
            if used - before < COMPILED * LOOK_S:
                break
    progress = Committed(worker.settings, worker.settings.app_id)
    try:
        drain(worker, progress, progress.written(Topics(worker.settings).behavior_events))
    finally:
        progress.close()
    return time.monotonic() - begun


def drain(worker: Worker, progress: Committed, goal: int) -> None:
    """Until so many events are committed. RuntimeError after two minutes."""
    deadline = time.monotonic() + DRAIN_S
    while progress.total() < goal:
        worker.check()
        if time.monotonic() > deadline:
            raise RuntimeError(
                f"{goal - progress.total():,} events are not committed {DRAIN_S:g} s after the last: overload"
            )
        time.sleep(0.1)
