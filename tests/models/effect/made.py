"""Made-up shoppers: heavy-tailed revenue that their past tells something of, and a true effect on the chance to buy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
SHARE = 0.8  # treated


@dataclass(frozen=True)
class Made:
    """treated (N,), revenue (N,), orders (N,), before (N, 2); truth: mean effect on revenue."""

    treated: Array
    revenue: Array
    orders: Array
    before: Array
    truth: float


def made(count: int, effect: float, seed: int = 0) -> Made:
    """effect: on the log of the mean number of orders, of every shopper alike."""
    rng = np.random.default_rng(seed)
    usual = rng.gamma(1.5, 0.5, count)
    basket = 20 * np.exp(rng.normal(0, 0.6, count))
    treated = rng.random(count) < SHARE
    orders = rng.poisson(usual * np.exp(effect * treated))
    size = np.exp(rng.normal(0, 0.4, count) - 0.08)
    past = rng.poisson(4 * usual)
    before = np.column_stack([past, past * basket])
    mean = 0.75 * 20 * np.exp(0.18)  # of usual, of basket
    return Made(treated, orders * basket * size, orders.astype(float), before, float(mean * np.expm1(effect)))
