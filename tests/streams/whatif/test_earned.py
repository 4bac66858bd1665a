"""Intervals of what a policy would have earned hold what they promise, though a shopper's moments share one draw."""

from __future__ import annotations

import numpy as np
import pytest

from streams.policy import Policy
from streams.whatif.earned import earned
from streams.whatif.rounds import NOTHING, Rounds
from tests.streams.decide_cases import document

SHOPPERS, MOMENTS, HELD = 300, 3, 0.3
EFFECT = 2.0


def made(seed: int) -> Rounds:
    """Every shopper has three moments, a draw, and a taste of his or her own that all rewards share."""
    rng = np.random.default_rng(seed)
    shopper = np.repeat(np.arange(SHOPPERS), MOMENTS)
    action = (rng.random(SHOPPERS) >= HELD).astype(np.int64)[shopper]
    taste = rng.normal(size=SHOPPERS)[shopper]
    reward = 5.0 + 3.0 * taste + EFFECT * action + rng.normal(size=len(shopper))
    chances = np.tile([HELD, 1.0 - HELD], (len(shopper), 1))
    return Rounds(
        campaign="c",
        labels=[NOTHING, "coupon"],
        shopper=shopper,
        action=action,
        reward=reward,
        propensity=chances[np.arange(len(shopper)), action],
        before=chances,
        after=np.tile([1.0, 0.0], (len(shopper), 1)),
        context=rng.normal(size=(len(shopper), 2)),
        open=0,
        strange=0,
        elsewhere=0,
        acts=0,
    )


def test_intervals_over_shoppers_cover_the_truth() -> None:
    truth = -(1.0 - HELD) * EFFECT * SHOPPERS * MOMENTS
    policy = Policy.model_validate(document())
    hits = dict.fromkeys(("ips", "snips", "dr", "switch_dr"), 0)
    for seed in range(100):
        found = earned(made(seed), policy, SHOPPERS, least_ess=30)
        assert found.difference is not None
        for name in hits:
            total = found.difference[name]
            hits[name] += total.low < truth < total.high
    for name, count in hits.items():
        assert count >= 88, name  # of 100 at .95: fewer come about once in a thousand


def test_both_sides_and_their_difference_go_together() -> None:
    found = earned(made(0), Policy.model_validate(document()), SHOPPERS, least_ess=30)
    assert found.old is not None
    assert found.new is not None
    assert found.difference is not None
    assert found.new.value - found.old.value == pytest.approx(found.difference["dr"].value)
    assert found.difference["dr"].by_shopper.sum() == pytest.approx(found.difference["dr"].value)
