"""Sessions of made-up shoppers: who buys buys once and last, steps come in time, and one seed is one log."""

import numpy as np
import pytest

from models.metrics import roc_auc
from models.shop import browsing
from models.shop.browsing import BUYER, CODE, LOOKER, STEPS
from models.shop.catalogue import ITEMS, Catalogue

COUNT = 3000


def log(seed=0, revenue=None):
    rng = np.random.default_rng(seed)
    shop = Catalogue.draw(COUNT, seed)
    paid = np.where(rng.random(COUNT) < 0.2, 40.0, 0.0) if revenue is None else revenue
    begin = browsing.starts(COUNT, 86_400_000, rng)
    return shop, paid, begin, browsing.sessions(shop, np.arange(COUNT), begin, paid, 100, rng)


def test_who_buys_has_one_purchase_of_the_revenue_at_the_end():
    _, paid, _, events = log()
    bought = events[events["type"] == CODE["purchase"]]
    assert np.array_equal(bought["shopper"], np.flatnonzero(paid))
    assert (bought["price"] == 40.0).all()
    ends = {int(one): events["time"][events["session"] == one].max() for one in bought["session"]}
    assert np.array_equal(bought["time"], list(ends.values()))


def test_sessions_begin_when_they_should_and_go_on_in_time():
    _, _, begin, events = log()
    first = np.append(True, np.diff(events["session"]) != 0)
    assert np.array_equal(events["time"][first], begin)
    assert (np.diff(events["time"])[~first[1:]] >= 0).all()
    assert np.array_equal(np.unique(events["session"]), 100 + np.arange(COUNT))


def test_one_seed_is_one_log():
    assert log(3)[3].tobytes() == log(3)[3].tobytes()
    assert not np.array_equal(log(3)[3]["time"], log(4)[3]["time"])


def test_nobody_there_is_no_event():
    shop, rng = Catalogue.draw(5, 0), np.random.default_rng(0)
    nobody = np.zeros(0, np.int64)
    assert len(browsing.sessions(shop, nobody, nobody, np.zeros(0), 0, rng)) == 0


def test_items_are_of_the_catalogue_and_have_its_price():
    shop, _, _, events = log()
    viewed = events[events["type"] == CODE["item_view"]]
    assert ((viewed["item"] >= 0) & (viewed["item"] < ITEMS)).all()
    assert np.array_equal(viewed["price"], shop.price[viewed["item"]])
    assert 0.6 < shop.likes(viewed["shopper"], viewed["item"]).mean() < 0.9


def test_shares_of_steps_are_shares():
    for shares in (BUYER, LOOKER):
        assert shares.sum() == pytest.approx(1.0)
        assert (shares > 0).all()


def test_steps_tell_of_the_purchase_as_bayes_has_it():
    rng = np.random.default_rng(1)
    buys = rng.random(40_000) < 0.5
    steps = np.where(buys[:, None], rng.multinomial(30, BUYER, 40_000), rng.multinomial(30, LOOKER, 40_000))
    found = browsing.told(steps)
    chance = 1 / (1 + np.exp(-found))
    assert roc_auc(buys, found) > 0.6
    for low, high in ((0.2, 0.4), (0.4, 0.6), (0.6, 0.8)):
        some = (chance > low) & (chance <= high)
        assert buys[some].mean() == pytest.approx(chance[some].mean(), abs=0.02)
    assert steps.shape[1] == len(STEPS)


def test_who_orders_has_a_session():
    chance = np.array([0.001, 0.05, 0.5, 0.999])
    assert (browsing.visits(chance) >= chance).all()
    assert ((browsing.buys_in_session(chance) > 0) & (browsing.buys_in_session(chance) <= 1)).all()
