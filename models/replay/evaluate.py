"""Holds predictions against what shoppers then did, each figure beside the recency/frequency baseline on the same rows.

predictions (published, or scored offline) ─┐
events: what was known, what then happened ─┴─► rows whose horizon ended within the data ─► Report

Used alike by the replay job before a release and by the demo on what the worker published.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from models import baseline, metrics, survival
from models.replay.dataset import PURCHASE, Sequences
from models.replay.history import DAY_MS
from models.replay.predicted import Predicted
from models.replay.redemption import REDEEM_DAYS, Redemption, mailings
from models.replay.report import Comparison, HitComparison, Report
from models.replay.source import Interval

Array = npt.NDArray[Any]

BUY_DAYS = (3, 7, 30)
LAPSE_DAYS = 30
GRID_DAYS = 7  # household-days: every 7th day at 00:00 UTC
TOP = 5


def evaluate(
    sequences: Sequences,
    predicted: Predicted,
    fitted_on: Interval,
    scored: Interval,
    redemption: Redemption | None = None,
) -> Report:
    """The report over moments within `scored`; what happened is known up to its end.

    sequences: all events from `fitted_on.start` to `scored.stop`, also of the time before the predictions: labels and
    baselines come from them. The baselines are fitted on moments and outcomes within `fitted_on`.
    """
    judge = _Judge(sequences, predicted, fitted_on, scored)
    found = [judge.buys(days) for days in BUY_DAYS] + [judge.lapses()]
    if redemption is not None:
        found.append(judge.redeems(redemption))
    return Report(fitted_on, scored, tuple(one for one in found if one is not None), judge.next_categories())


class _Judge:
    def __init__(
        self, sequences: Sequences, predicted: Predicted, fitted_on: Interval, scored: Interval
    ) -> None:
        self._sequences, self._purchases = sequences, sequences.purchases
        self._predicted, self._fitted_on, self._scored = predicted, fitted_on, scored

    def buys(self, days: int) -> Comparison | None:
        """A row per basket: does the shopper buy again within `days`?"""

        def rows(interval: Interval) -> tuple[Array, Array, Array]:
            return self._baskets(interval.start, interval.stop - days * DAY_MS)

        shopper, moment, _ = rows(self._scored)
        at = self._predicted.latest(shopper, moment, exactly=True)
        scores = 1 - survival.at_days(self._predicted.survival[np.maximum(at, 0)], np.full(len(at), days))
        return self._compare(
            f"buy_{days}d", f"buys again within {days} days of a basket", rows, at >= 0, scores, days
        )

    def lapses(self) -> Comparison | None:
        """A row per household-day: silent for the next 30 days? The latest prediction is aged to that day."""

        def rows(interval: Interval) -> tuple[Array, Array, Array]:
            return self._grid(interval.start, interval.stop - LAPSE_DAYS * DAY_MS)

        shopper, moment, _ = rows(self._scored)
        at = self._predicted.latest(shopper, moment)
        latest = np.maximum(at, 0)
        elapsed = (moment - self._predicted.time[latest]) / DAY_MS
        scores = survival.conditional(
            self._predicted.survival[latest], np.maximum(elapsed, 0), np.full(len(at), LAPSE_DAYS)
        )
        title = f"silent for the next {LAPSE_DAYS} days, asked every {GRID_DAYS}th day"
        return self._compare(f"lapse_{LAPSE_DAYS}d", title, rows, at >= 0, scores, LAPSE_DAYS, silent=True)

    def redeems(self, model: Redemption) -> Comparison | None:
        """A row per household and campaign mailed."""
        found = mailings(self._sequences).within(self._scored.start, self._scored.stop)
        scores = model.probability(found, self._predicted)
        known = np.isfinite(scores)
        if not known.any():
            return None
        return Comparison(
            "redeem",
            f"redeems a coupon of a mailed campaign within {REDEEM_DAYS} days",
            metrics.binary(found.redeemed[known], scores[known]),
            metrics.binary(found.redeemed[known], model.past_rate(found)[known]),
            int((~known).sum()),
        )

    def next_categories(self) -> HitComparison | None:
        """A row per basket that another follows: which of five named categories are in the next one?"""
        _, moment, position = self._baskets(self._scored.start, self._scored.stop)
        following = position + 1
        same = following < len(self._purchases)
        following = np.minimum(following, len(self._purchases) - 1)
        shopper = self._purchases.shopper[position]
        same &= (self._purchases.shopper[following] == shopper) & (
            self._purchases.time[following] < self._scored.stop
        )
        starts, hashes = self._categories()
        same &= starts[following + 1] > starts[following]
        at = self._predicted.latest(shopper, moment, exactly=True)
        keep = same & (at >= 0)
        if not keep.any():
            return None
        named = self._predicted.categories[at[keep]][:, :TOP]
        usual = self._usual(position[keep], starts, hashes)
        bought = following[keep]
        return HitComparison(
            metrics.hits(_among(named, bought, starts, hashes)),
            metrics.hits(_among(usual, bought, starts, hashes)),
            int((same & (at < 0)).sum()),
        )

    def _compare(
        self, name: str, title: str, rows: Any, known: Array, scores: Array, days: int, silent: bool = False
    ) -> Comparison | None:
        shopper, moment, _ = rows(self._scored)
        past = rows(self._fitted_on)
        learnt = self._within(past[0], past[1], days) ^ silent
        if not known.any() or learnt.all() or not learnt.any():
            return None  # nobody was predicted, or the baseline has only one outcome to learn from
        model = baseline.fit(baseline.features(self._purchases, past[0], past[1]), learnt)
        usual = baseline.probability(model, baseline.features(self._purchases, shopper[known], moment[known]))
        labels = (self._within(shopper, moment, days) ^ silent)[known]
        clipped = np.clip(scores[known], 0.0, 1.0)
        return Comparison(
            name, title, metrics.binary(labels, clipped), metrics.binary(labels, usual), int((~known).sum())
        )

    def _within(self, shopper: Array, moment: Array, days: int) -> Array:
        """Whether a purchase comes after the moment and within `days`."""
        return self._purchases.next_time(shopper, moment) <= moment + days * DAY_MS

    def _baskets(self, start: int, stop: int) -> tuple[Array, Array, Array]:
        """Shopper, moment and position of the baskets with start <= moment < stop."""
        position = np.flatnonzero((self._purchases.time >= start) & (self._purchases.time < stop))
        return self._purchases.shopper[position], self._purchases.time[position], position

    def _grid(self, start: int, stop: int) -> tuple[Array, Array, Array]:
        """Shopper and moment of household-days: every GRID_DAYS-th midnight at which the shopper has bought before."""
        first = -(-start // DAY_MS) * DAY_MS
        days = np.arange(first, stop + 1, GRID_DAYS * DAY_MS)
        shopper = np.repeat(np.arange(self._purchases.n_shoppers), len(days))
        moment = np.tile(days, self._purchases.n_shoppers)
        bought = self._purchases.count(shopper, moment) > 0
        return shopper[bought], moment[bought], np.flatnonzero(bought)

    def _categories(self) -> tuple[Array, Array]:
        """Distinct category hashes of every basket: starts (B+1,), hashes (K,) uint32."""
        events = self._sequences.events
        rows = np.flatnonzero((events["type"] == PURCHASE) & (events["category"] != 0))
        at = self._purchases.before(self._sequences.shopper[rows], events["time"][rows])
        pairs = np.unique((at << 32) | events["category"][rows].astype(np.int64))
        starts = np.searchsorted(pairs >> 32, np.arange(len(self._purchases) + 1))
        return starts, (pairs & 0xFFFFFFFF).astype(np.uint32)

    def _usual(self, position: Array, starts: Array, hashes: Array) -> Array:
        """The shopper's five most frequent categories up to each of these baskets, as hashes (N, 5)."""
        known, codes = np.unique(hashes, return_inverse=True)
        times = np.repeat(self._purchases.time, np.diff(starts))
        learnt = (times >= self._fitted_on.start) & (times < self._fitted_on.stop)
        popularity = np.bincount(codes[learnt], minlength=len(known)).astype(np.float64)
        usual = np.zeros((len(position), min(TOP, len(known))), np.uint32)
        owner = self._purchases.shopper[position]
        for shopper in np.unique(owner).tolist():
            first = int(self._purchases.first[shopper])
            rows = np.flatnonzero(owner == shopper)
            until = int(position[rows].max()) + 1
            baskets = [codes[starts[basket] : starts[basket + 1]] for basket in range(first, until)]
            ranked = baseline.frequent(baskets, popularity, usual.shape[1])
            usual[rows] = known[ranked[position[rows] - first]]
        return usual


def _among(named: Array, baskets: Array, starts: Array, hashes: Array) -> npt.NDArray[np.bool_]:
    """Whether each named category (N, k) is among those of its row's basket."""
    counts = starts[baskets + 1] - starts[baskets]
    owners = np.repeat(np.arange(len(baskets)), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    bought = (owners << 32) | hashes[np.repeat(starts[baskets], counts) + within].astype(np.int64)
    asked = (np.arange(len(baskets))[:, None] << 32) | named.astype(np.int64)
    found: npt.NDArray[np.bool_] = np.isin(asked, bought) & (named != 0)
    return found
