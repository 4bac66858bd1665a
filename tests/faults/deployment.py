"""The release and the policy of the shop under test: random weights, and a few candidates in a hundred events."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.deployment import POLICY
from models.architecture import Calibration
from models.events import EVENT_TYPES
from models.release import OTHER, Release
from streams.policy import Policy
from streams.policy_document import load as load_policy
from tests.faults.events import Known
from tests.faults.truth import Judge, Truth
from tests.models.releases import written

# Campaign of deploy/policy.yaml -> its events here, and the share of these that should be candidates.
CANDIDATES = {
    "winback_coupon": (("purchase",), 0.05),
    "weekly_reminder": (("purchase",), 0.05),
    "redeemed_list": (("add_to_cart", "coupon_redeem"), 0.2),
    "mailed_list": (("item_view", "page_view", "intervention_exposed"), 0.05),
}
DECIDED = Calibration(
    category_temperature=0.05
)  # random weights barely prefer a category: ties would be settled by chance


def release(folder: Path, known: Known, seed: int = 0, **changes: object) -> Release:
    """A small release with random weights for the categories of these events."""
    popular = {name: tuple(f"{name}-item-{rank}" for rank in range(20)) for name in known.categories}
    given = {"categories": (*known.categories, OTHER), "popular": popular, "calibration": DECIDED, **changes}
    return written(folder / "releases", seed=seed, **given)


def policy(judge: Judge, truth: Truth) -> Policy:
    """deploy/policy.yaml with triggers on events that are here, thresholds in a gap between two scores of theirs.

    So the last bits of a score, which depend on the size of a batch, cannot make or unmake a candidate.
    """
    document = load_policy(POLICY).model_dump()
    types, scores = np.concatenate(truth.types), np.concatenate(truth.scores)
    for campaign in document["campaigns"]:
        names, share = CANDIDATES[campaign["id"]]
        score = campaign["trigger"]["score"]
        of_these = np.isin(types, [EVENT_TYPES.index(name) for name in names])
        column = np.sort(scores[of_these, judge.engine.tasks.index(score)].astype(np.float64))
        threshold = _gap(column, 1.0 - share) if len(column) else 0.5
        campaign["trigger"] = {"event_types": list(names), "score": score, "at_least": threshold}
        campaign["value"] = {
            "margin_per_conversion": 10.0,
            "lift": 0.1,
            "cost_per_contact": 0.0,
            "minimum": 0.0,
        }
    return Policy.model_validate(document)


def _gap(ordered: np.ndarray, quantile: float) -> float:
    """Middle of the widest gap within a hundredth of the values around the quantile."""
    at = int(len(ordered) * quantile)
    near = ordered[max(0, at - len(ordered) // 200 - 2) : at + len(ordered) // 200 + 2]
    if len(near) < 2:
        return float(near[0]) if len(near) else 0.5
    widest = int(np.diff(near).argmax())
    return float((near[widest] + near[widest + 1]) / 2)
