"""Is what was measured really a prediction? Two checks of a training set and of the judging itself.

Shuffled labels: with every outcome dealt out anew, nothing can be predicted; whoever still ranks held-out rows better than
chance has seen them. Point in time: features computed from a log that is cut at a row must be the same as from the whole;
one that differs knows the future.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models import metrics
from models.replay.source import SourceProblem

Array = npt.NDArray[Any]

SIGMAS = 4.0  # beyond it by chance once in 16,000 checks


class Leak(SourceProblem):
    """The future, or what is scored, was seen; the message names where, and what to do."""


@dataclass(frozen=True)
class Check:
    """One check that held: what was found, and within what it had to lie."""

    title: str
    found: str
    allowed: str

    def to_json(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True)
class Table:
    """names: of the columns (F,). values: (N, F) of the rows asked for."""

    names: Sequence[str]
    values: Array


def shuffled_labels(
    title: str,
    labels: Array,
    learnt: Array,
    scored: Array,
    fit: Callable[[Array, Array], Callable[[Array], Array]],
    seed: int = 0,
) -> Check:
    """Fits on shuffled labels, and raises Leak unless the AUC on held-out rows, shuffled alike, is one half within chance.

    labels: bool (N,) of all rows. learnt, scored: positions of the rows to fit on and to score. fit(positions, labels of
    these) returns what gives scores (M,) of positions (M,). Tolerance: SIGMAS standard deviations of the Mann-Whitney
    statistic when scores and labels are independent, sqrt((n1 + n0 + 1) / (12 n1 n0)).
    """
    dealt = np.random.default_rng(seed).permutation(np.asarray(labels, bool))
    came = dealt[scored]
    yes, no = int(came.sum()), int((~came).sum())
    if not yes or not no or dealt[learnt].all() or not dealt[learnt].any():
        return Check(title, "only one outcome", "nothing to check")
    scores = fit(learnt, dealt[learnt])(scored)
    auc = metrics.roc_auc(came, scores)
    width = SIGMAS * float(np.sqrt((yes + no + 1) / (12 * yes * no)))
    if abs(auc - 0.5) > width:
        raise Leak(
            f"leakage: {title}: AUC {auc:.4f} on {len(came):,} held-out rows with shuffled labels, want .5 ± {width:.4f}: "
            "rows that are scored were learnt from; look for rows in both parts, or features made from labels"
        )
    return Check(title, f"AUC {auc:.4f}", f"0.5 ± {width:.4f}")


def same_when_cut(title: str, whole: Table, cut: Table, where: Callable[[int], str]) -> int:
    """How many rows were compared. Raises Leak naming the first column in which a row differs.

    whole, cut: the same rows from the whole log and from the log cut at them. where(row) names a row for the message.
    """
    if tuple(whole.names) != tuple(cut.names) or whole.values.shape != cut.values.shape:
        raise Leak(
            f"leakage: {title}: {len(whole.names)} columns and {len(whole.values)} rows from the whole log, "
            f"{len(cut.names)} and {len(cut.values)} from the cut one: which there are must not depend on what comes later"
        )
    differs = (whole.values != cut.values) & ~(np.isnan(whole.values) & np.isnan(cut.values))
    if differs.any():
        column = int(np.flatnonzero(differs.any(axis=0))[0])
        row = int(np.flatnonzero(differs[:, column])[0])
        raise Leak(
            f"leakage: {title}: feature {whole.names[column]!r} of {where(row)} is {whole.values[row, column]:g} with the "
            f"whole log and {cut.values[row, column]:g} with the log cut there: it knows the future; compute it from events "
            "up to the row alone"
        )
    return len(whole.values)
