"""Time to the next purchase as a discrete-time survival model: labels, loss, scores, and how a score ages.

The network gives one hazard logit per interval of SURVIVAL_DAYS; S(day) = prod(1 - hazard) is the
probability that the shopper has bought nothing up to that day. Every score about "buys within" or "silent
for" is read off the same S, so that they never contradict each other. Formulas: Gensheimer & Narasimhan, "A
scalable discrete-time survival model for neural networks", PeerJ 7:e6257 (2019).
"""

import re
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[Any]

SURVIVAL_DAYS: tuple[int, ...] = (1, 2, 3, 5, 7, 10, 14, 21, 30, 45, 60, 90, 120)
TASKS: tuple[str, ...] = ("buy_3d", "buy_7d", "buy_30d", "lapse_30d")

_EDGES = np.array((0, *SURVIVAL_DAYS), np.float64)
FLOOR = 1e-30  # below it log S would be -inf; such a shopper has bought for certain


class Target(NamedTuple):
    """What is known of the time to the next purchase, per event.

    survived: int64 (N,) in 0…13, how many whole intervals passed without a purchase.
    bought: bool (N,), whether the purchase came in the interval after those. False = not seen to (censored).
    """

    survived: npt.NDArray[np.int64]
    bought: npt.NDArray[np.bool_]


def target(days_to_purchase: Array, days_observed: Array) -> Target:
    """Labels from days to the next purchase (N,) (inf or NaN = none seen) and days until the data end (N,).

    A purchase on day t falls into the interval (edge, next edge] that holds t. Without one, only intervals
    wholly observed count as survived; a purchase after the last day is the same as surviving all of them.
    """
    days = np.asarray(days_to_purchase, np.float64)
    observed = np.asarray(days_observed, np.float64)
    bought = (days <= SURVIVAL_DAYS[-1]) & (days <= observed)
    interval = np.searchsorted(_EDGES[1:], np.where(bought, days, 0.0), side="left")
    seen = np.where(days > observed, observed, np.fmin(days, observed))
    whole = np.searchsorted(_EDGES[1:], seen, side="right")
    return Target(np.where(bought, interval, whole).astype(np.int64), bought)


def nll(logits: "torch.Tensor", survived: "torch.Tensor", bought: "torch.Tensor") -> "torch.Tensor":
    """Negative log likelihood (N,) of hazard logits (N, 13): -log h of the bought interval, -log(1-h) of the
    survived.

    survived: int64 (N,), bought: bool (N,), as in `Target`. Nothing is said about intervals that were not
    observed.
    """
    import torch
    from torch.nn.functional import softplus

    intervals = torch.arange(logits.shape[1], device=logits.device)
    silent = (softplus(logits) * (intervals < survived[:, None])).sum(1)
    at = survived.clamp(max=logits.shape[1] - 1)[:, None]
    return silent + softplus(-logits.gather(1, at)).squeeze(1) * bought


def survival(logits: Array) -> npt.NDArray[np.float32]:
    """S on the grid (N, 13) of hazard logits (N, 13): exp(-cumulative sum of softplus)."""
    curve = np.exp(-np.cumsum(np.logaddexp(0.0, logits), axis=1))
    return cast("npt.NDArray[np.float32]", curve.astype(np.float32))


def check_tasks(tasks: tuple[str, ...]) -> tuple[str, ...]:
    """The tasks as they are, or ValueError naming the first that is not buy_<d>d or lapse_<d>d with a day of
    the grid."""
    for name in tasks:
        _parse(name)
    return tasks


def is_task(name: str) -> bool:
    """Whether the name is that of a score read off the curve."""
    try:
        _parse(name)
    except ValueError:
        return False
    return True


def scores(curve: Array, tasks: tuple[str, ...] = TASKS) -> npt.NDArray[np.float32]:
    """Named scores (N, len(tasks)) of S (N, 13): buy_<d>d = 1 - S(d), lapse_<d>d = S(d)."""
    columns, signs, shifts = weights(tasks)
    return cast("npt.NDArray[np.float32]", (curve[:, columns] * signs + shifts).astype(np.float32))


def weights(tasks: tuple[str, ...]) -> tuple[Array, Array, Array]:
    """Each task as S[:, column] * sign + shift: int64, float32, float32, each (len(tasks),)."""
    parsed = [_parse(name) for name in tasks]
    columns = np.array([column for column, _ in parsed], np.int64)
    buys = np.array([buy for _, buy in parsed], bool)
    return columns, np.where(buys, -1, 1).astype(np.float32), buys.astype(np.float32)


def _parse(name: str) -> tuple[int, bool]:
    """Column of the grid, and whether the score is that of buying."""
    match = re.fullmatch(r"(buy|lapse)_(\d+)d", name)
    if not match or int(match[2]) not in SURVIVAL_DAYS:
        raise ValueError(f"task {name!r}: want buy_<d>d or lapse_<d>d with d one of {SURVIVAL_DAYS}")
    return SURVIVAL_DAYS.index(int(match[2])), match[1] == "buy"


def at_days(curve: Array, days: Array) -> npt.NDArray[np.float64]:
    """S at any day (N,), from S on the grid (N, 13) and days (N,).

    Within an interval the hazard rate is constant (log S is a straight line); beyond the last day the rate
    of the last interval goes on. Negative days are day 0, where S = 1.
    """
    logs = np.zeros((len(curve), len(_EDGES)))
    logs[:, 1:] = np.log(np.maximum(curve, FLOOR))
    days = np.maximum(np.broadcast_to(np.asarray(days, np.float64), (len(curve),)), 0.0)
    left = np.clip(np.searchsorted(_EDGES, days, side="right") - 1, 0, len(_EDGES) - 2)
    rows = np.arange(len(curve))
    slope = (logs[rows, left + 1] - logs[rows, left]) / (_EDGES[left + 1] - _EDGES[left])
    return cast("npt.NDArray[np.float64]", np.exp(logs[rows, left] + slope * (days - _EDGES[left])))


def conditional(curve: Array, elapsed_days: Array, horizon_days: Array) -> npt.NDArray[np.float64]:
    """P(silent for `horizon_days` more | silent for `elapsed_days` since the event) = S(e + h) / S(e), each
    (N,)."""
    elapsed = np.maximum(np.asarray(elapsed_days, np.float64), 0.0)
    later = at_days(curve, elapsed + np.asarray(horizon_days, np.float64))
    return later / np.maximum(at_days(curve, elapsed), FLOOR)
