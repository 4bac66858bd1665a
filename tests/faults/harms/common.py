"""What the harms share: their two errors, and questions to a worker."""

from __future__ import annotations

from pathlib import Path

from tests.faults.run import Run
from tests.faults.shop import until
from tests.faults.workers import Slot

STARTED_S = 120.0  # long, for a busy machine: it says only how soon a failure is told


class HarmFailed(RuntimeError):
    """The harm was not done: the point was not reached, or what had to show did not."""


class Impossible(Exception):
    """This machine does not allow the harm; the message says what is missing."""


def live(slot: Slot) -> bool:
    """All its partitions are live."""
    states = slot.states()
    return bool(states) and set(states) == {"live"}


def alone(run: Run) -> Slot:
    """Worker 0, when every partition is live in it: none of its stores is still to be opened, deleted or begun."""
    slot, partitions = run.workers.slots[0], run.shop.settings.partitions
    until(
        lambda: slot.states() == ["live"] * partitions,
        lambda: f"all partitions live in worker 0: {slot.health()}\n{run.workers.tail()}",
        STARTED_S,
    )
    return slot


def stopped(slot: Slot) -> bool:
    """It has sent itself SIGSTOP. Raises HarmFailed when it ended before."""
    if slot.process is None or not slot.running:
        raise HarmFailed(f"the worker ended before it was stopped\n{slot.said()[-2000:]}")
    return Path(f"/proc/{slot.process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
