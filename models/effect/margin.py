"""Margin of an outcome, after what it cost: what effects are told in and what bandits learn."""

from __future__ import annotations

import numpy as np

from models.families.table import Doubles


def net(
    revenue: Doubles,
    returned: Doubles,
    margin: Doubles,
    coupon_cost: Doubles,
    contact_cost: Doubles,
    margin_share: float,
) -> Doubles:
    """Money (N,), columns as in schemas/outcome.avsc. margin: NaN where purchases told none, and `margin_share` of revenue
    then; what returns takes that share of its worth with it."""
    told = np.where(np.isnan(margin), margin_share * revenue, margin) - margin_share * returned
    return np.asarray(told - coupon_cost - contact_cost)
