"""A shop's decisions with their outcomes, made up: shoppers held out by lot, campaigns, an experiment's arms."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.effect.assigned import Decisions

HOLDOUT = 0.2
DAY = 86_400_000


def decisions(count: int = 4_000, effect: float = 0.4, seed: int = 0, **changes: Any) -> Decisions:
    """A shopper each, and a second decision of most that are treated, as effects make more of them."""
    rng = np.random.default_rng(seed)
    held, usual = rng.random(count) < HOLDOUT, rng.gamma(1.5, 0.5, count)
    reason = np.where(held, "holdout", np.where(rng.random(count) < 0.8, "emitted", "frequency_cap"))
    orders = rng.poisson(usual * np.exp(effect * (reason == "emitted"))).astype(float)
    columns: dict[str, Any] = {
        "user": np.array([f"u{n}" for n in range(count)]),
        "campaign": np.where(rng.random(count) < 0.5, "push", "coupon"),
        "kind": np.full(count, "push"),
        "reason": reason,
        "arm": np.full(count, ""),
        "time": rng.integers(0, 20 * DAY, count),
        "value": usual * effect,
        "propensity": np.where(held, HOLDOUT, 1 - HOLDOUT),
        "policy": np.full(count, "v1"),
        "learned_version": np.full(count, ""),
        "drawn": np.zeros(count, bool),
        "told": np.ones(count, bool),
        "complete": np.ones(count, bool),
        "unsubscribed": rng.random(count) < 0.01,
        "orders": orders,
        "revenue": 30 * orders,
        "returned": np.zeros(count),
        "margin": np.full(count, np.nan),
        "coupon_cost": np.where(reason == "emitted", 0.5, 0.0),
        "contact_cost": np.zeros(count),
        "contacts": (reason == "emitted").astype(float),
        "redemptions": np.zeros(count),
    }
    return Decisions(**(columns | changes))


def joined(*parts: Decisions) -> Decisions:
    return Decisions(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in Decisions.__dataclass_fields__)
    )
