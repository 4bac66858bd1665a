"""What is learnt from, what thresholds and calibration are chosen on, and what is scored.

    time    learn and tune on everything before a moment, score what comes after it: what a shop does, and the default
    user    learn on 70 % of the shoppers, tune on 15 %, score 15 %, all over the whole interval
    kfold   K folds of shoppers; each is scored by a model that learnt from the others, tuned on the next fold

A shopper's place follows from a hash of the user id and the seed, whatever else is read: no shopper is ever in two parts,
and a release's scored shoppers can be found again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.events import hash_strings
from models.replay.source import Interval, SourceProblem

Array = npt.NDArray[Any]

KINDS = ("time", "user", "kfold")
LEARN, TUNE = 0.70, 0.15  # of the shoppers; the rest is scored
FEWEST_FOLDS = 3  # one is scored, one tunes, one is learnt from


@dataclass(frozen=True)
class Part:
    """Rows within the interval whose shopper is one of `shoppers`, bool (U,); None = all of them."""

    interval: Interval
    shoppers: Array | None = None

    def of(self, shopper: Array) -> npt.NDArray[np.bool_]:
        """Whether each shopper (N,) belongs to it."""
        return np.ones(len(shopper), bool) if self.shoppers is None else np.asarray(self.shoppers[shopper])


@dataclass(frozen=True)
class Split:
    """One way to part the rows. `about` says it in words."""

    kind: str
    learn: Part
    tune: Part
    score: Part
    about: str

    def described(self) -> str:
        """Of what the threshold was chosen on, for the reader."""
        return "the training interval" if self.kind == "time" else "the tuning shoppers"


def by_time(learnt: Interval, scored: Interval) -> Split:
    """Learns before, scores after."""
    if scored.start < learnt.stop:
        raise SourceProblem(
            f"scored interval {scored} begins before the learnt one, {learnt}, ends: what is learnt would be scored"
        )
    about = "by time: learnt before the scored interval, thresholds chosen there, too"
    return Split("time", Part(learnt), Part(learnt), Part(scored), about)


def by_user(users: pa.Array, interval: Interval, seed: int) -> Split:
    """70:15:15 of the shoppers; SourceProblem when one of the parts is nobody."""
    place = places(users, seed)
    masks = (place < LEARN, (place >= LEARN) & (place < LEARN + TUNE), place >= LEARN + TUNE)
    for mask, share in zip(masks, (LEARN, TUNE, 1 - LEARN - TUNE), strict=True):
        if not mask.any():
            raise SourceProblem(
                f"--split user: {share:.0%} of {len(users)} shoppers is nobody here; take more shoppers or another --seed"
            )
    counts = ", ".join(f"{int(mask.sum()):,}" for mask in masks)
    learn, tune, score = (Part(interval, mask) for mask in masks)
    return Split(
        "user", learn, tune, score, f"by shopper, 70:15:15: {counts} shoppers to learn from, tune on, score"
    )


def by_fold(users: pa.Array, interval: Interval, folds: int, seed: int) -> Iterator[Split]:
    """One split per fold. SourceProblem for fewer than FEWEST_FOLDS, or with a fold that is nobody."""
    if folds < FEWEST_FOLDS:
        raise SourceProblem(
            f"--folds {folds}: want at least {FEWEST_FOLDS}: one learns, one tunes, one is scored"
        )
    fold = np.minimum((places(users, seed) * folds).astype(np.int64), folds - 1)
    empty = np.flatnonzero(np.bincount(fold, minlength=folds) == 0)
    if len(empty):
        raise SourceProblem(
            f"--folds {folds}: fold {empty[0] + 1} of {len(users)} shoppers is nobody; take fewer folds or more shoppers"
        )
    for number in range(folds):
        scored, tuned = fold == number, fold == (number + 1) % folds
        learn, tune, score = (Part(interval, mask) for mask in (~scored & ~tuned, tuned, scored))
        about = f"{folds}-fold cross-validation by shopper: fold {number + 1}"
        yield Split("kfold", learn, tune, score, about)


def places(users: pa.Array, seed: int) -> npt.NDArray[np.float64]:
    """A place in [0, 1) per user (U,), spread evenly, the same at every run."""
    salted = pa.array([f"{seed}/{user}" for user in users.to_pylist()], pa.string())
    return np.asarray((hash_strings(salted) >> np.uint64(11)) * 2.0**-53)
