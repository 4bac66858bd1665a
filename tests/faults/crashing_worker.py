"""A worker that comes to harm at a named point: `python -m tests.faults.crashing_worker`, told by its environment.

    FAULTS_POINT      one of POINTS
    FAULTS_PASSING    at which passing of that point, from 1
    FAULTS_SIGNAL     what it sends itself there: KILL, or STOP (someone else then continues it)
    FAULTS_POISON     price whose events raise in the pass
    FAULTS_NOT_FINITE price whose events get features of NaN, so that the model's scores are NaN

The product has no hooks for this: the method at the point is replaced here before the worker starts.
"""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable
from typing import Any

import aiokafka
import numpy as np

from schemas.settings import Settings
from streams import changelog, sequences, worker
from streams.passing import Pass
from streams.shoppers import Shoppers
from streams.store import Store
from streams.transaction import Publisher

POINT, PASSING, SIGNAL = "FAULTS_POINT", "FAULTS_PASSING", "FAULTS_SIGNAL"
POISON, NOT_FINITE = "FAULTS_POISON", "FAULTS_NOT_FINITE"


class Harm:
    """Counts passings and sends this process its signal at the chosen one."""

    def __init__(self) -> None:
        self._left = int(os.environ.get(PASSING, "1"))
        self._signal = signal.Signals[f"SIG{os.environ.get(SIGNAL, 'KILL')}"]

    def __call__(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), self._signal)


def before(owner: Any, name: str, harm: Harm, when: Callable[..., bool] = lambda *_: True) -> None:
    """Whenever `owner.name` is called and `when` holds for its arguments, that is a passing of the point."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def replaced(*arguments: Any, **named: Any) -> Any:
        if when(*arguments, *named.values()):
            harm()
        return original(*arguments, **named)

    setattr(owner, name, replaced)


def _in_changelog_reading(harm: Harm) -> None:
    """read_on runs in a thread of its own for each partition; writes of others at that time count as well."""
    reading = 0
    original = changelog.read_on

    @functools.wraps(original)
    def read_on(*arguments: Any, **named: Any) -> Any:
        nonlocal reading
        reading += 1
        try:
            return original(*arguments, **named)
        finally:
            reading -= 1

    changelog.read_on = read_on
    before(Store, "write", harm, lambda *_: reading > 0)


def _in_checkpoint(harm: Harm) -> None:
    before(
        Store, "write", harm, lambda store, rows, contacts, meta, checkpoint=None, *_: checkpoint is not None
    )


def _in_redo(harm: Harm) -> None:
    before(
        Pass,
        "process",
        harm,
        lambda _, shares, *__: any(records[0].offset < shoppers.live_from for shoppers, records in shares),
    )


POINTS: dict[str, Callable[[Harm], None]] = {
    "before publish": lambda harm: before(Publisher, "publish", harm),
    "between send and offsets": lambda harm: before(
        aiokafka.AIOKafkaProducer,
        "send_offsets_to_transaction",
        harm,
        lambda producer, *_: bool(producer._txn_manager.txn_partitions),  # claims send nothing
    ),
    "between commit and the local write": lambda harm: before(Shoppers, "settle", harm),
    "in a checkpoint": _in_checkpoint,
    "in redo": _in_redo,
    "in changelog reading": _in_changelog_reading,
}


def spoiling(poison: float, not_finite: float) -> Callable[..., Any]:
    """The featurizer, but events of the one price raise, and those of the other come out of the model as NaN."""
    original = sequences.featurize

    def featurize(events: Any, context: Any, spec: Any) -> Any:
        if (events["price"] == np.float32(poison)).any():
            raise RuntimeError(f"a fault of ours: no event of price {poison} can be featurized")
        features = original(events, context, spec)
        features.dense[events["price"] == np.float32(not_finite)] = np.nan
        return features

    return featurize


def main() -> None:
    if POINT in os.environ:
        POINTS[os.environ[POINT]](Harm())
    if POISON in os.environ or NOT_FINITE in os.environ:
        sequences.featurize = spoiling(*(float(os.environ.get(name, "nan")) for name in (POISON, NOT_FINITE)))
    worker.run(Settings.load())


if __name__ == "__main__":
    main()
