"""Harm to worker processes: killed, scaled, frozen, asked to end."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import time

from tests.faults.crashing_worker import PASSING, POINT, SIGNAL
from tests.faults.harms.common import STARTED_S, HarmFailed, alone, live, stopped
from tests.faults.run import SESSION_S, Run
from tests.faults.shop import until
from tests.faults.workers import Slot

DRAINED_S = 10.0  # what SIGTERM may take
MARKED_S = 10.0


def kill_at_random(run: Run) -> None:
    """kill -9 at a moment that nobody chose, be it in the start, in redo or in a batch."""
    run.pause(0.0, 6.0)
    until(lambda: bool(run.workers.running), "a worker to kill", STARTED_S)
    run.rng.choice(run.workers.running or run.workers.slots[:1]).kill()


def crash(run: Run, point: str) -> None:
    """kill -9 at a named point of a batch, of redo or of reading the changelog."""
    with run.workers.holding(run.workers.slots[0]) as slot:
        slot.kill()
        if point == "in changelog reading":  # with its disk it would find nothing to read
            shutil.rmtree(slot.stores, ignore_errors=True)
        passing = run.rng.randint(1, 2 if point.startswith("in ") else 12)
        slot.start(**{POINT: point, PASSING: str(passing)})
        _ends_at(slot, point)


def workers_come_and_go(run: Run) -> None:
    """One worker, three, and one again, while events come."""
    run.workers.scale(3)
    until(lambda: sum(map(live, run.workers.slots)) >= 3, lambda: _three(run), STARTED_S)
    run.pause(0.0, 3.0)
    if run.rng.random() < 0.5:
        run.workers.slots[run.rng.randint(0, 2)].kill()
        run.pause(0.0, 3.0)
    _back_to_one(run)


def zombie(run: Run) -> None:
    """A worker is stopped inside a transaction, another takes its partitions, it wakes and goes on."""
    first, second = run.workers.slots[:2]
    with run.workers.holding(second):
        second.start(**{POINT: "between send and offsets", PASSING: "8", SIGNAL: "STOP"})
        until(
            lambda: stopped(second),
            lambda: f"worker 1 stopped in a transaction\n{run.workers.tail()}",
            STARTED_S,
        )
        time.sleep(SESSION_S)
        until(lambda: len(first.states()) == run.shop.settings.partitions, "worker 0 took over", STARTED_S)
        run.progress()
        second.signal(signal.SIGCONT)
        run.pause(2.0, 6.0)  # it finds out, and ends or joins again
        second.end()
        with contextlib.suppress(subprocess.TimeoutExpired):
            assert second.process is not None
            second.process.wait(20)
        second.kill()


def terminate(run: Run) -> None:
    """SIGTERM: the batch in work is committed, and nothing is published that is not committed."""
    with run.workers.holding(alone(run)) as slot:
        run.pause(0.0, 2.0)
        begun = time.monotonic()
        slot.end()
        assert slot.process is not None
        try:
            code = slot.process.wait(DRAINED_S)
        except subprocess.TimeoutExpired:
            raise HarmFailed(
                f"the worker did not end {DRAINED_S:g} s after SIGTERM\n{run.workers.tail()}"
            ) from None
        if code != 0:
            raise HarmFailed(
                f"SIGTERM: exit code {code} after {time.monotonic() - begun:.1f} s\n{run.workers.tail()}"
            )
        # The broker may still be writing the mark that ends the last transaction of a partition.
        until(
            lambda: not published_beside_committed(run),
            lambda: (
                f"published is what is committed, after SIGTERM; differing: {published_beside_committed(run)[:3]}"
            ),
            MARKED_S,
        )


def published_beside_committed(run: Run) -> list[str]:
    """Event ids of predictions of events that are not committed, and of committed ones without (while no worker runs)."""
    committed, published = run.shop.committed(), {row["event_id"] for row in run.shop.rows("prediction")}
    truth = run.judge.truth(run.shop.read(run.shop.topics.behavior_events))
    due = {
        event_id
        for event_id in truth.predicted
        if truth.offsets[event_id][1] < committed[truth.offsets[event_id][0]]
    }
    return sorted(published ^ due)


def _three(run: Run) -> str:
    return (
        f"three live workers, there are {[slot.states() for slot in run.workers.slots]}\n{run.workers.tail()}"
    )


def _back_to_one(run: Run) -> None:
    run.workers.scale(1)
    until(
        lambda: not any(slot.running for slot in run.workers.slots[1:]),
        lambda: f"two of three workers ended after SIGTERM\n{run.workers.tail()}",
        STARTED_S,
    )
    run.progress()


def _ends_at(slot: Slot, point: str) -> None:
    assert slot.process is not None
    try:
        code = slot.process.wait(STARTED_S)
    except subprocess.TimeoutExpired:
        slot.kill()
        raise HarmFailed(f"the worker never came to the point: {point}\n{slot.said()[-2000:]}") from None
    if code != -signal.SIGKILL:
        raise HarmFailed(
            f"the worker ended with {code} before it came to the point: {point}\n{slot.said()[-2000:]}"
        )
