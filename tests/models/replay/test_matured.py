"""Matured rows: those of an evaluation, and nothing whose horizon is not over."""

from __future__ import annotations

import numpy as np
import pytest

from models.replay.history import DAY_MS
from models.replay.matured import matured
from models.replay.predicted import Predicted
from models.replay.source import Interval
from tests.models.replay import said
from tests.models.replay.shop import START, rows, sequences

SHOP = sequences(rows(shoppers=30, days=90))
OVER = Interval(START + 20 * DAY_MS, START + 90 * DAY_MS)


def everything(noise: float = 0.1, keep: slice = slice(None)) -> Predicted:
    at = np.flatnonzero(SHOP.last)[keep]
    names = np.zeros((len(at), 1), np.uint32)
    return Predicted(SHOP.shopper[at], SHOP.events["time"][at], said.curves(SHOP, at, noise), names)


@pytest.mark.parametrize("days", [3, 7, 30])
def test_a_basket_counts_once_its_horizon_is_over_and_says_what_came(days: int) -> None:
    found = matured(SHOP, [everything()], f"buy_{days}d", OVER)
    wanted = []
    for shopper, moment in zip(SHOP.purchases.shopper.tolist(), SHOP.purchases.time.tolist(), strict=True):
        if OVER.start <= moment < OVER.stop - days * DAY_MS:
            own = SHOP.purchases.time[SHOP.purchases.shopper == shopper]
            wanted.append((shopper, moment, bool(((own > moment) & (own <= moment + days * DAY_MS)).any())))
    assert (
        list(zip(found.shopper.tolist(), found.moment.tolist(), found.came.tolist(), strict=True)) == wanted
    )
    assert found.scores.shape == (1, len(wanted))


def test_a_score_is_that_of_the_curve_aged_to_the_day_asked_about() -> None:
    """A constant rate does not age: whoever was predicted is as likely to be silent as at the prediction."""
    whole = everything()
    found = matured(SHOP, [whole], "lapse_30d", OVER)
    assert len(found)
    at = whole.latest(found.shopper, found.moment)
    np.testing.assert_allclose(found.scores[0], whole.survival[at, 8], rtol=1e-4)
    purchases = SHOP.purchases
    silent = purchases.next_time(found.shopper, found.moment) > found.moment + 30 * DAY_MS
    assert (found.came == silent).all()


def test_only_rows_that_all_answered_are_compared() -> None:
    first, second = everything(), everything(0.5, slice(0, None, 2))
    both = matured(SHOP, [first, second], "buy_7d", OVER)
    alone = [matured(SHOP, [one], "buy_7d", OVER) for one in (first, second)]
    assert 0 < len(both) == len(alone[1]) < len(alone[0])
    assert (both.scores[1] == alone[1].scores[0]).all()


def test_nobody_answered_is_no_rows() -> None:
    nothing = everything(keep=slice(0, 0))
    assert len(matured(SHOP, [nothing], "buy_7d", OVER)) == 0
    with pytest.raises(ValueError, match="want one of"):
        matured(SHOP, [nothing], "buy_8d", OVER)
