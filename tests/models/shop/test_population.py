"""Made-up shoppers: their kinds come out of the latents, and what a site sees of them tells something, not all."""

import numpy as np
import pytest

from models.metrics import roc_auc
from models.shop.panel import Panel
from models.shop.population import ACTIONS, KINDS, NOTHING, REACHES, Population


@pytest.fixture(scope="module")
def shop():
    return Panel(Population.draw(20_000, seed=3), seed=3)


def test_one_seed_gives_the_same_shoppers():
    one, same, other = (Population.draw(50, seed) for seed in (1, 1, 2))
    assert np.array_equal(one.intent, same.intent)
    assert not np.array_equal(one.intent, other.intent)


def test_no_shoppers_are_refused():
    with pytest.raises(ValueError, match="draw one at least"):
        Population.draw(0, 1)


@pytest.mark.parametrize("action", ["coupon_2", "coupon_10", "push", "rerank"])
def test_all_four_kinds_are_among_them(shop, action):
    counts = np.bincount(shop.population.kinds(ACTIONS.index(action)), minlength=len(KINDS))
    assert (counts > 40).all()


def test_contacts_wear_off_and_irritate_and_lists_do_not(shop):
    people = shop.population
    fresh, tired = (people.gains(np.full(len(people), fatigue)) for fatigue in (0.0, 2.0))
    assert (tired[:, REACHES].mean(axis=0) < fresh[:, REACHES].mean(axis=0)).all()
    assert np.array_equal(tired[:, ~REACHES], fresh[:, ~REACHES])
    assert (people.leaves(np.full(len(people), 2.0)) > people.leaves(np.zeros(len(people)))).all()


def test_a_larger_coupon_moves_more_and_nobody_without_sensitivity_is_moved(shop):
    gains = shop.population.gains(np.zeros(len(shop.population)))
    levels = [ACTIONS.index(f"coupon_{value}") for value in (2, 5, 10)]
    assert (np.diff(gains[:, levels], axis=1) >= 0).all()
    assert (gains[:, NOTHING] == 0).all()


def test_every_shopper_has_a_week(shop):
    people, days = shop.population, np.arange(7)
    best = people.usual(days).argmax(axis=1)
    off = np.abs(best - people.weekday)
    assert np.minimum(off, 7 - off).max() < 1.0  # the season has a say as well


def test_what_is_seen_tells_something_and_not_all(shop):
    seen, truth = shop.seen(), shop.truth()
    effect = truth.converted[:, ACTIONS.index("coupon_5")] - truth.converted[:, NOTHING]
    top = effect > np.quantile(effect, 0.8)
    discounted = seen[:, shop.names.index("discounted")]
    assert 0.6 < roc_auc(top, discounted) < 0.95
    assert seen.shape == (20_000, len(shop.names))
