"""Harm to the broker, and to the line between it and the workers."""

from __future__ import annotations

import signal
import time

from tests.faults.crashing_worker import PASSING, POINT, SIGNAL
from tests.faults.harms.common import STARTED_S, stopped
from tests.faults.run import SESSION_S, Run
from tests.faults.shop import until


def broker_killed(run: Run) -> None:
    """kill -9 of the broker, and its start a moment later."""
    run.site.broker.kill()
    run.pause(0.0, 4.0)
    run.site.broker.start()
    run.progress()


def network_cut(run: Run) -> None:
    """Nothing passes between workers and broker, for less or more than a session."""
    with run.site.proxy.cut():
        run.pause(0.5, 2 * SESSION_S)
    run.progress()


def network_slow(run: Run) -> None:
    """Everything between workers and broker takes 200 ms longer each way."""
    with run.site.proxy.slow(0.2):
        run.pause(3.0, 6.0)
        if run.rng.random() < 0.5:
            run.workers.slots[0].kill()
            run.pause(1.0, 4.0)
    run.progress()


def transaction_time_out(run: Run) -> None:
    """A worker sleeps inside a transaction until the broker aborts it, and wakes."""
    with run.workers.holding(run.workers.slots[0]) as slot:
        slot.kill()
        slot.start(
            **{
                POINT: "between send and offsets",
                PASSING: "4",
                SIGNAL: "STOP",
                "INTENTFLOW_TRANSACTION_TIMEOUT_S": "3",
                "INTENTFLOW_SESSION_TIMEOUT_S": "15",
            }
        )
        until(
            lambda: stopped(slot),
            lambda: f"the worker stopped in a transaction\n{run.workers.tail()}",
            STARTED_S,
        )
        time.sleep(6.0)
        slot.signal(signal.SIGCONT)
    run.progress()
