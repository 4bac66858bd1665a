"""The leakage checks pass what is right and name what is planted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from models.evaluation.leakage import Leak, Table, shuffled_labels
from models.featurizer import DENSE, FeatureSpec
from models.replay.dataset import Sequences
from models.replay.history import DAY_MS
from models.replay.leaks import apart, check, events_in_time, moments_in_time
from models.replay.source import Interval
from models.replay.splits import Part, Split, by_time, by_user
from tests.models.replay.shop import START, event, rows, sequences

SPEC = FeatureSpec()
SHOP = sequences(rows(shoppers=50, days=100))
WHOLE = Interval(START, START + 100 * DAY_MS)
SPLIT = by_time(Interval(START, START + 50 * DAY_MS), Interval(START + 50 * DAY_MS, WHOLE.stop))


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_the_real_features_and_baselines_pass_every_check() -> None:
    for split in (SPLIT, by_user(SHOP.users, WHOLE, seed=2)):
        found = check(SHOP, split, SPEC)
        assert sum(one.title.startswith("point in time") for one in found) == 2
        assert sum(one.title.startswith("shuffled labels") for one in found) == 4


def test_late_events_are_no_leak() -> None:
    late = [event("a", START + day * DAY_MS) for day in (0, 9, 3, 4, 12, 1)]
    late += [event("b", START + day * DAY_MS) for day in (2, 8)]
    assert events_in_time("late", sequences(late), features, rng())


def features(of: Sequences) -> Table:
    return Table(DENSE, of.features(SPEC).dense)


def days_to_next(of: Sequences) -> np.ndarray:
    times = of.events["time"]
    following = np.append(times[1:], times[-1:])
    following[~np.append(of.shopper[1:] == of.shopper[:-1], False)] = 0
    return (following - times) / DAY_MS


def bought_in_all(of: Sequences) -> np.ndarray:
    return np.bincount(of.shopper, minlength=len(of.users))[of.shopper].astype(float)


def popular_in_all(of: Sequences) -> np.ndarray:
    """How often anybody ever buys the row's category: a leak through other shoppers."""
    _, codes, counts = np.unique(of.events["category"], return_inverse=True, return_counts=True)
    return counts[codes].astype(float)


@pytest.mark.parametrize("planted", [days_to_next, bought_in_all, popular_in_all])
def test_a_feature_from_the_future_is_refused_by_its_name(planted: Callable[[Sequences], np.ndarray]) -> None:
    def leaking(of: Sequences) -> Table:
        return Table((*DENSE, "planted"), np.column_stack([features(of).values, planted(of)]))

    with pytest.raises(Leak, match=r"feature 'planted' of shopper 'user-\d+' at 2017.* knows the future"):
        events_in_time("planted", SHOP, leaking, rng())


def test_the_rest_of_a_basket_is_the_future_too() -> None:
    """A row of a basket that knows the basket's later lines is seen only by a cut within the basket."""
    basket = sequences([event("a", START, item_id=str(line)) for line in range(6)])

    def lines(of: Sequences) -> Table:
        size = np.bincount(np.searchsorted(np.unique(of.events["time"]), of.events["time"]))
        return Table(("lines",), np.full((len(of), 1), size[0], float))

    with pytest.raises(Leak, match="'lines'"):
        events_in_time("basket", basket, lines, rng())


def test_what_is_said_of_a_moment_must_not_know_what_comes_after_it() -> None:
    def next_purchase(of: Sequences, shopper: np.ndarray, moment: np.ndarray) -> Table:
        return Table(("next",), of.purchases.days_to_next(shopper, moment, WHOLE.stop)[:, None])

    with pytest.raises(Leak, match="'next'"):
        moments_in_time("next", SHOP, next_purchase, WHOLE, rng())


def test_columns_that_come_and_go_are_refused() -> None:
    def categories(of: Sequences) -> Table:
        names = np.unique(of.events["category"])
        return Table([str(name) for name in names], (of.events["category"][:, None] == names).astype(float))

    early = sequences([event("a", START, category_id="x"), event("a", START + DAY_MS, category_id="y")])
    with pytest.raises(Leak, match="must not depend"):
        events_in_time("one-hot", early, categories, rng())


def test_rows_in_both_parts_are_found_by_shuffled_labels() -> None:
    """Whoever remembers rows ranks them also when their labels are dealt out anew."""
    labels = np.random.default_rng(1).random(600) < 0.4

    def remember(at: np.ndarray, came: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        known = dict(zip(at.tolist(), came.tolist(), strict=True))
        return lambda asked: np.array([float(known.get(row, 0.5)) for row in asked.tolist()])

    everything = np.arange(600)
    assert (
        shuffled_labels("apart", labels, everything[:300], everything[300:], remember).found == "AUC 0.5000"
    )
    with pytest.raises(Leak, match="rows that are scored were learnt from"):
        shuffled_labels("both", labels, everything, everything[300:], remember)
    alone = shuffled_labels("one", np.ones(600, bool), everything[:300], everything[300:], remember)
    assert alone.allowed == "nothing to check"


def test_parts_that_share_shoppers_or_time_are_refused() -> None:
    half = np.arange(10) < 5
    one = Part(WHOLE, half)
    with pytest.raises(Leak, match="5 shoppers are both"):
        apart(Split("user", Part(WHOLE, ~half), one, one, ""))
    with pytest.raises(Leak, match="learnt up to"):
        apart(Split("time", Part(WHOLE), Part(WHOLE), Part(WHOLE), ""))
