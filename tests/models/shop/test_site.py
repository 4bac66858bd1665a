"""The made-up site over time: nothing is told twice, and interventions do what is true of them."""

import numpy as np
import pytest

from models.shop.browsing import CODE
from models.shop.population import ACTIONS, NOTHING
from models.shop.site import DAY_MS, Site

START = 1_767_571_200_000  # a Monday
COUPON, PUSH, LIST = (ACTIONS.index(name) for name in ("coupon_10", "push", "rerank"))


def answered(action, shoppers=20_000, at=DAY_MS, days=3):
    """A site, all of whose shoppers are sent the action at the end of the first day; events from then on."""
    site = Site(shoppers, 5, START)
    site.until(START + at)
    everybody = np.arange(shoppers)
    site.answer(everybody, np.full(shoppers, action), START + at, everybody)
    return site, site.until(START + at + (days - 1) * DAY_MS)


def of(events, kind):
    return events[events["type"] == CODE[kind]]


def orders(events):
    """Within the day that an intervention works."""
    sold = of(events, "purchase")
    return int((sold["time"] < START + 2 * DAY_MS).sum())


def test_however_time_is_cut_the_same_happens():
    whole, parts = Site(500, 1, START), Site(500, 1, START)
    once = whole.until(START + 2 * DAY_MS)
    bits = np.concatenate([parts.until(START + part * DAY_MS // 4) for part in range(1, 9)])
    assert once["time"].tolist() == sorted(once["time"].tolist())
    assert once.tobytes() == bits.tobytes()
    assert (once["time"] < START + 2 * DAY_MS).all()


@pytest.mark.parametrize("action", [COUPON, PUSH])
def test_orders_move_by_the_true_effect(action):
    _, idle = answered(NOTHING)
    site, events = answered(action)
    moved = orders(events) - orders(idle)
    assert site.book.answered == 20_000
    assert abs(moved - site.book.conversions) < 5 * np.sqrt(orders(idle) + orders(events))
    assert moved > 0


def test_a_coupon_is_redeemed_once_at_an_order_and_names_its_intervention():
    _, events = answered(COUPON)
    used = of(events, "coupon_redeem")
    assert len(used) > 100
    assert len(np.unique(used["shopper"])) == len(used)
    assert np.array_equal(used["intervention"], used["shopper"])
    assert (used["price"] == 10.0).all()
    sold = {(row["shopper"], row["time"]) for row in of(events, "purchase")}
    assert all((row["shopper"], row["time"] + 1000) in sold for row in used)


def test_what_is_sent_is_reported_as_shown_and_some_take_their_consent_back():
    site, events = answered(PUSH)
    assert len(of(events, "intervention_exposed")) == 20_000
    gone = np.unique(of(events, "consent")["shopper"])
    assert 0 < len(gone) < 500
    later = START + 4 * DAY_MS
    site.until(later)
    reached = site.answer(np.arange(20_000), np.full(20_000, PUSH), later, np.arange(20_000))
    assert np.array_equal(np.flatnonzero(~reached), gone)


def test_nothing_more_is_shown_while_the_last_one_works():
    site, _ = answered(LIST, 100)
    moment = START + 2 * DAY_MS - 1
    assert not site.answer(np.arange(100), np.full(100, LIST), moment, np.arange(100)).any()
    with pytest.raises(ValueError, match="each once"):
        site.answer(np.zeros(2, int), np.full(2, LIST), moment, np.arange(2))


def test_some_orders_come_back():
    site = Site(5000, 2, START)
    events = site.until(START + 20 * DAY_MS)
    share = len(of(events, "return")) / len(of(events, "purchase"))
    assert 0.02 < share < 0.07
    with pytest.raises(ValueError, match="midnight"):
        Site(5, 0, START + 1)
