"""Label shift: buyers have become more or fewer, and those of a class look as before. What a score then should be.

The share of buyers of a new time is found from its scores alone, without outcomes, by EM (Saerens, Latinne and Decaestecker
2002, "Adjusting the outputs of a classifier to new a priori probabilities", Neural Computation 14): the new share is the
mean of the scores, the scores are moved to that share, and so on until it stands still. The order of the scores is kept.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.families import table
from models.families.table import Array

STEPS = 10_000
STILL = 1e-7  # a share that moves less than this stands still


def moved(probabilities: Array, learnt: float, now: float) -> npt.NDArray[np.float64]:
    """P(label) (N,) of a model that learnt where the share of the label was `learnt`, as they are where it is `now`.

    Bayes: the odds change by the odds of the shares. Raises ValueError for a share that is not inside (0, 1).
    """
    for name, share in (("learnt", learnt), ("now", now)):
        if not 0.0 < share < 1.0:
            raise ValueError(
                f"{name}: a share of {share:g} is of one class only; want one above 0 and below 1"
            )
    given = np.asarray(probabilities, np.float64)
    odds = now / learnt, (1.0 - now) / (1.0 - learnt)
    return np.asarray(given * odds[0] / (given * odds[0] + (1.0 - given) * odds[1]))


def share(probabilities: Array, learnt: float) -> float:
    """The share of the label among new rows, from their P(label) (N,) by a model that learnt where it was `learnt`.

    Where the scores are too high or too low for rows like those learnt from, this is taken for shift: calibrate first.
    Raises ValueError for no rows, for what is no probability, and for a `learnt` of one class only.
    """
    given = np.asarray(probabilities, np.float64)
    if given.ndim != 1 or not len(given):
        raise ValueError(f"probabilities of shape {given.shape}: want (N,), of one new row at least")
    if not ((given >= 0.0) & (given <= 1.0)).all():
        raise ValueError("probabilities: one is NaN or outside [0, 1]; give P(label) as predicted")
    now = learnt
    for _ in range(STEPS):
        mean = float(moved(given, learnt, now).mean())
        before, now = now, min(max(mean, table.EDGE), 1.0 - table.EDGE)  # `moved` wants both classes
        if abs(now - before) < STILL:
            break
    return now
