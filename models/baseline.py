"""What a shop without a sequence model would do: recency and frequency. Every reported figure stands beside this one.

The same rows and the same metrics as for the model; fitted on the training interval only, and every feature is known at
the scored moment.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from models.replay.history import DAY_MS, Purchases

Array = npt.NDArray[Any]

COLUMNS = ("log_recency", "log_baskets_30d", "log_baskets_90d", "log_tenure", "log_mean_gap")
FAR_DAYS = 365.0  # recency of who has not bought before
PRIOR_WEIGHT = 2.0  # campaigns' worth of the overall rate in a shopper's own redemption rate


def features(purchases: Purchases, shopper: Array, moment: Array) -> npt.NDArray[np.float64]:
    """COLUMNS (N, 5) of shoppers (N,) at moments ms (N,).

    Recency is to the last basket strictly before the moment, so that at a basket it is the gap that led to it.
    """
    last = purchases.before(shopper, moment) - 1
    first = purchases.first[shopper]
    known = last >= first
    baskets = purchases.count(shopper, moment)
    recency = np.where(known, (moment - purchases.time[np.maximum(last, 0)]) / DAY_MS, FAR_DAYS)
    began = purchases.time[np.minimum(first, len(purchases) - 1)]
    tenure = np.where(baskets > 0, (moment - began) / DAY_MS, 0.0)
    columns = (
        recency,
        purchases.count(shopper, moment, 30),
        purchases.count(shopper, moment, 90),
        tenure,
        tenure / np.maximum(baskets - 1, 1),
    )
    return np.stack([np.log1p(column) for column in columns], axis=1)


def fit(inputs: Array, labels: Array) -> Pipeline:
    """Logistic regression on standardised inputs (N, F). Raises ValueError when only one outcome occurs."""
    if labels.all() or not labels.any():
        raise ValueError(
            f"baseline: all {len(labels)} rows of the training interval have the same outcome; "
            "train on a longer interval"
        )
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(inputs, labels)


def probability(model: Pipeline, inputs: Array) -> npt.NDArray[np.float64]:
    """P(label) (N,) of inputs (N, F)."""
    return np.asarray(model.predict_proba(inputs)[:, 1])


def redemption_rate(redeemed: Array, mailed: Array, overall: float) -> npt.NDArray[np.float64]:
    """Past redemption rate (N,): campaigns redeemed over campaigns mailed before, drawn to the overall rate."""
    rate = (np.asarray(redeemed) + PRIOR_WEIGHT * overall) / (np.asarray(mailed) + PRIOR_WEIGHT)
    return np.minimum(rate, 1.0)


def frequent(baskets: list[Array], popularity: Array, k: int) -> npt.NDArray[np.int64]:
    """A shopper's k most frequent categories after each basket (len(baskets), k), ties and rest by popularity.

    baskets: distinct category codes of each of the shopper's baskets, in order. popularity: (C,), any scale.
    """
    own, where = np.unique(
        np.concatenate([*baskets, np.argsort(-popularity, kind="stable")[:k]]), return_inverse=True
    )
    lengths = [len(basket) for basket in baskets]
    counts = np.zeros((len(baskets), len(own)))
    counts[np.repeat(np.arange(len(baskets)), lengths), where[: sum(lengths)]] = 1.0
    standing = np.cumsum(counts, axis=0) + popularity[own] / (popularity.max() + 1.0)
    return np.asarray(own[np.argsort(-standing, axis=1, kind="stable")[:, :k]], np.int64)
