"""Days of the shop: outcomes keep to their means, promises of consent and pauses hold, and one seed is one luck."""

import numpy as np
import pytest

from models.shop.panel import OFTEN, Panel, run_trial
from models.shop.population import ACTIONS, MARGIN_SHARE, NOTHING, PUSH, REACHES, Population

COUPON = ACTIONS.index("coupon_5")


def panel(count=4000, seed=1):
    return Panel(Population.draw(count, seed), seed)


def within(values, means, errors=4.0):
    """Whether the mean of the values is as near to that of their means as chance lets it be."""
    apart = values - means
    return abs(apart.mean()) < errors * apart.std() / np.sqrt(len(apart))


def test_outcomes_keep_to_their_means():
    shop = panel(20_000)
    means, actions = shop.truth(), np.arange(20_000) % len(ACTIONS)
    came = shop.step(actions)
    at = np.arange(20_000), actions
    for field in ("converted", "orders", "revenue", "coupon_cost", "margin", "unsubscribed"):
        assert within(getattr(came, field), getattr(means, field)[at]), field


def test_margin_is_what_is_left_of_revenue():
    shop = panel()
    came = shop.step(np.full(4000, COUPON))
    assert np.allclose(came.margin, MARGIN_SHARE * came.revenue - came.spent)
    assert ((came.coupon_cost == 0) | (came.converted == 1)).all()


def test_the_same_luck_whatever_is_done():
    one, other = panel(), panel()
    one.step(np.full(4000, PUSH))
    other.step(np.full(4000, NOTHING))
    idle = np.full(4000, NOTHING)
    calm, first = one.step(idle), other.step(idle)
    assert np.array_equal(calm.converted, first.converted)
    assert np.array_equal(one.before.revenue, other.before.revenue)


def test_who_unsubscribed_or_was_just_reached_may_not_be_reached():
    shop = panel()
    left = shop.step(np.full(4000, PUSH)).unsubscribed == 1
    for _ in range(OFTEN - 1):
        assert not shop.allowed()[:, REACHES].any()
        shop.step(np.full(4000, NOTHING))
    assert np.array_equal(shop.allowed()[:, PUSH], ~left)
    with pytest.raises(ValueError, match="ask allowed"):
        shop.step(np.full(4000, PUSH))


def test_looking_changes_nothing():
    shop = panel(100)
    assert np.array_equal(shop.seen(), shop.seen())
    assert np.array_equal(shop.truth().margin, shop.truth().margin)


@pytest.mark.parametrize("wrong", [np.zeros(3), np.full(100, -1), np.full(100, len(ACTIONS))])
def test_strange_actions_are_refused(wrong):
    with pytest.raises(ValueError, match="actions"):
        panel(100).step(wrong)


@pytest.mark.parametrize("days", [1, 10])
@pytest.mark.parametrize("action", range(1, len(ACTIONS)))
def test_a_trial_keeps_to_its_means_in_both_arms(action, days):
    seed = 10 * action + days
    people = Population.draw(3000, seed)
    treated = np.random.default_rng(seed).random(3000) < 0.5
    trial = run_trial(people, treated, action, days, seed)
    for field in ("converted", "revenue", "margin", "coupon_cost", "unsubscribed"):
        seen = getattr(trial.seen, field)
        means = np.where(treated, getattr(trial.with_action, field), getattr(trial.without, field))
        assert within(seen, means, 5.0) or np.array_equal(seen, means), field


def test_the_effect_on_who_is_not_treated_is_none():
    people = Population.draw(500, 2)
    trial = run_trial(people, np.zeros(500), COUPON, 5, 2)
    assert not trial.seen.coupon_cost.any()
    assert trial.without.coupon_cost.max() == 0.0 < trial.with_action.coupon_cost.min()


def test_spend_before_goes_with_spend_within():
    people = Population.draw(10_000, 4)
    trial = run_trial(people, np.zeros(10_000), NOTHING, 14, 4)
    assert np.corrcoef(trial.before, trial.seen.revenue)[0, 1] > 0.3
