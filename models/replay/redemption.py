"""Will a household redeem a coupon of the campaign it was just mailed? Fitted on the predictions, beside the network.

The network has no head for it: some 2,000 mailings in seven months are too few for one. A logistic regression on what the
latest prediction says of the shopper, and on the shopper's past with coupons, is; its weights go out with the release.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from models import baseline, survival
from models.replay.dataset import EXPOSED, REDEEMED, Sequences
from models.replay.history import DAY_MS
from models.replay.predicted import Predicted

Array = npt.NDArray[Any]

REDEEM_DAYS = 45  # a mailed campaign's coupons are redeemed within this time or count as not redeemed
COLUMNS = (
    "log_odds_buy_3d",
    "log_odds_buy_7d",
    "log_odds_lapse_30d",
    "log_redeemed",
    "log_mailed",
    "past_rate",
)


@dataclass(frozen=True)
class Mailings:
    """A row per shopper and campaign mailed: shopper, time (ms), redeemed (within REDEEM_DAYS), and before that moment:
    campaigns mailed, and campaigns redeemed."""

    shopper: Array
    time: Array
    redeemed: Array
    past_mailed: Array
    past_redeemed: Array

    def within(self, start: int, stop: int) -> "Mailings":
        """Those mailed from `start` on whose time to redeem is over by `stop` (ms)."""
        return self.rows((self.time >= start) & (self.time + REDEEM_DAYS * DAY_MS <= stop))

    def rows(self, rows: Array) -> "Mailings":
        """Those chosen by a mask or by positions."""
        columns = (self.shopper, self.time, self.redeemed, self.past_mailed, self.past_redeemed)
        return Mailings(*(column[rows] for column in columns))


def mailings(sequences: Sequences) -> Mailings:
    """All campaigns mailed. Several coupons of one campaign count once, at the first redemption."""
    types, times = sequences.events["type"], sequences.events["time"]
    pair = sequences.shopper * max(len(sequences.campaigns), 1) + sequences.campaign
    named = sequences.campaign >= 0
    mailed, mailed_at = _first(pair, times, named & (types == EXPOSED))
    redeemed, redeemed_at = _first(pair, times, named & (types == REDEEMED))
    shopper = mailed // max(len(sequences.campaigns), 1)
    at = np.minimum(np.searchsorted(redeemed, mailed), max(len(redeemed) - 1, 0))
    hit = np.zeros(len(mailed), bool)
    if len(redeemed):
        later = redeemed_at[at] - mailed_at
        hit = (redeemed[at] == mailed) & (later >= 0) & (later <= REDEEM_DAYS * DAY_MS)
    return Mailings(
        shopper,
        mailed_at,
        hit,
        _earlier(shopper, mailed_at, shopper, mailed_at),
        _earlier(redeemed // max(len(sequences.campaigns), 1), redeemed_at, shopper, mailed_at),
    )


@dataclass(frozen=True)
class Redemption:
    """P(redeems) = sigmoid(weights · COLUMNS + bias); overall is the share that redeemed in training."""

    weights: tuple[float, ...]
    bias: float
    overall: float

    @classmethod
    def fit(cls, found: Mailings, predicted: Predicted) -> Self | None:
        """From mailings whose outcome is known. None when there are too few for a regression."""
        at = predicted.latest(found.shopper, found.time)
        known = at >= 0
        labels = found.redeemed[known]
        if labels.sum() < len(COLUMNS) or (~labels).sum() < len(COLUMNS):
            return None
        overall = float(labels.mean())
        model = baseline.fit(_columns(found, predicted, at, overall)[known], labels)
        scaler, regression = model[0], model[1]
        weights = regression.coef_[0] / scaler.scale_
        return cls(tuple(weights.tolist()), float(regression.intercept_[0] - weights @ scaler.mean_), overall)

    def probability(self, found: Mailings, predicted: Predicted) -> npt.NDArray[np.float64]:
        """P(redeems) (N,); NaN where the shopper has no prediction yet."""
        at = predicted.latest(found.shopper, found.time)
        logits = _columns(found, predicted, at, self.overall) @ np.array(self.weights) + self.bias
        return np.where(at >= 0, 1 / (1 + np.exp(-logits)), np.nan)

    def past_rate(self, found: Mailings) -> npt.NDArray[np.float64]:
        """The baseline: how often the shopper redeemed before (N,)."""
        return baseline.redemption_rate(found.past_redeemed, found.past_mailed, self.overall)

    def to_json(self) -> dict[str, Any]:
        return {"columns": COLUMNS, "weights": self.weights, "bias": self.bias, "overall": self.overall}

    @classmethod
    def from_json(cls, found: dict[str, Any] | None) -> Self | None:
        """From a release's metrics; None when it has none or was fitted on other columns."""
        if found is None or tuple(found["columns"]) != COLUMNS:
            return None
        return cls(tuple(found["weights"]), found["bias"], found["overall"])


def _columns(found: Mailings, predicted: Predicted, at: Array, overall: float) -> npt.NDArray[np.float64]:
    scores = survival.scores(predicted.survival[np.maximum(at, 0)], ("buy_3d", "buy_7d", "lapse_30d"))
    sure = np.clip(scores.astype(np.float64), 1e-4, 1 - 1e-4)
    past = np.stack([np.log1p(found.past_redeemed), np.log1p(found.past_mailed)], 1)
    rate = baseline.redemption_rate(found.past_redeemed, found.past_mailed, overall)
    return np.concatenate([np.log(sure / (1 - sure)), past, rate[:, None]], 1)


def _first(pair: Array, times: Array, chosen: Array) -> tuple[Array, Array]:
    """Distinct pairs of the chosen rows, rising, with the earliest time of each."""
    rows = np.flatnonzero(chosen)
    order = rows[np.lexsort((times[rows], pair[rows]))]
    pairs, first = np.unique(pair[order], return_index=True)
    return pairs, times[order][first]


def _earlier(shopper: Array, time: Array, asked: Array, moment: Array) -> Array:
    """How many of the rows are the asked shopper's and strictly before the moment (N,)."""
    if not len(shopper):
        return np.zeros(len(asked), np.int64)
    low = min(int(time.min()), int(moment.min()) if len(moment) else int(time.min())) - 1
    span = max(int(time.max()), int(moment.max()) if len(moment) else 0) - low + 1
    keys = np.sort(shopper * span + (time - low))
    upto = np.searchsorted(keys, asked * span + (moment - low), side="left")
    return np.asarray(upto - np.searchsorted(keys, asked * span))
