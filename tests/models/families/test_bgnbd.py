"""BG/NBD against its paper, against histories drawn from it, and on the real CDNOW customers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.models import cdnow
from bench.models.row import NoData, data
from models.families.bgnbd import BgNbd, log_likelihood

PUBLISHED = BgNbd(r=0.243, alpha=4.414, a=0.793, b=2.426)  # Fader, Hardie & Lee 2005, table 2
positive = st.floats(0.05, 5.0)


def drawn(customers, seed=0):
    """Frequency, recency and age (N,) of customers who behave as the model says, r 0.8, alpha 5, a 0.9, b 2.5."""
    rng = np.random.default_rng(seed)
    age = rng.uniform(26.0, 39.0, customers)
    rate, leave = rng.gamma(0.8, 1 / 5.0, customers), rng.beta(0.9, 2.5, customers)
    frequency, recency = np.zeros(customers), np.zeros(customers)
    for one in range(customers):
        now = rng.exponential(1 / rate[one])
        while now < age[one]:
            frequency[one], recency[one] = frequency[one] + 1, now
            if rng.random() < leave[one]:
                break
            now += rng.exponential(1 / rate[one])
    return frequency, recency, age


def test_the_expectation_is_that_of_the_papers_customer():
    """Customer 0001 of the authors' spreadsheet: two repeat purchases, the last in week 30.43 of 38.86."""
    assert PUBLISHED.predict([2], [30.43], [38.86], 39.0)[0] == pytest.approx(1.226, abs=5e-4)


def test_it_finds_the_parameters_that_histories_were_drawn_with():
    model = BgNbd().fit(*drawn(6000))
    assert (model.r, model.alpha) == (pytest.approx(0.8, rel=0.15), pytest.approx(5.0, rel=0.2))
    assert model.a / (model.a + model.b) == pytest.approx(0.9 / 3.4, rel=0.15)


def test_no_other_parameters_nearby_are_likelier():
    histories = drawn(2000)
    model = BgNbd().fit(*histories)
    found = np.array([model.r, model.alpha, model.a, model.b])
    best = log_likelihood(found, *histories).sum()
    for at in range(4):
        for factor in (0.9, 1.1):
            other = found.copy()
            other[at] *= factor
            assert log_likelihood(other, *histories).sum() < best


def test_the_unit_of_time_does_not_matter():
    frequency, recency, age = drawn(2000)
    weeks, days = BgNbd().fit(frequency, recency, age), BgNbd().fit(frequency, 7 * recency, 7 * age)
    assert days.alpha == pytest.approx(7 * weeks.alpha, rel=1e-3)
    assert days.predict(frequency, 7 * recency, 7 * age, 7 * 39.0) == pytest.approx(
        weeks.predict(frequency, recency, age, 39.0), rel=1e-3
    )


@given(st.integers(0, 30), st.floats(0, 1), st.floats(0.5, 80), st.tuples(*[positive] * 4))
def test_longer_windows_hold_more_purchases_and_none_holds_none(x, share, age, parameters):
    model = BgNbd(*parameters)
    recency = share * age if x else 0.0
    windows = np.array([0.0, 1.0, 5.0, 20.0, 80.0])
    expected = model.predict(*(np.full(5, value) for value in (x, recency, age)), windows)
    assert expected[0] == pytest.approx(0.0, abs=1e-9)
    assert (np.diff(expected) > 0).all()


@given(st.integers(0, 30), st.floats(0, 1), st.floats(0.5, 80), st.tuples(*[positive] * 4))
def test_who_bought_once_is_alive_and_others_with_a_probability(x, share, age, parameters):
    alive = BgNbd(*parameters).alive([x], [share * age if x else 0.0], [age])[0]
    assert alive == 1.0 if x == 0 else 0.0 <= alive < 1.0


@given(st.integers(1, 20), st.floats(1, 80))
def test_the_longer_nothing_was_bought_the_less_likely_alive(x, age):
    alive = PUBLISHED.alive(np.full(5, x), np.linspace(0, age, 5), np.full(5, age))
    assert (np.diff(alive) > 0).all()


def test_export_round_trips_to_the_bit(tmp_path):
    model = BgNbd().fit(*drawn(500))
    model.export(tmp_path)
    assert BgNbd.load(tmp_path) == model


def test_histories_that_cannot_be_are_named():
    with pytest.raises(
        ValueError, match=r"customer 1: frequency 1, recency 50, age 40; want 0 <= recency <= age"
    ):
        BgNbd().fit([0, 1], [0, 50], [40, 40])
    with pytest.raises(ValueError, match="customer 0: frequency 0, recency 3"):
        BgNbd().fit([0], [3], [40])
    with pytest.raises(ValueError, match="customer 0: frequency 2, recency nan"):
        PUBLISHED.alive([2], [np.nan], [40])
    with pytest.raises(ValueError, match="nobody bought twice"):
        BgNbd().fit([0, 0], [0, 0], [30, 40])
    with pytest.raises(ValueError, match="want frequency, recency and age of each"):
        BgNbd().fit([], [], [])
    with pytest.raises(ValueError, match="window: -1 is below 0"):
        PUBLISHED.predict([2], [30.0], [38.0], -1.0)


def test_on_all_cdnow_customers_it_comes_near_the_tenth_that_was_published():
    try:
        (path,) = data("cdnow", "CDNOW_master.txt")
    except NoData as absent:
        pytest.skip(str(absent))
    known = cdnow.histories(cdnow.read(path), cdnow.END)
    model = BgNbd().fit(*(known[name] for name in ("frequency", "recency", "age")))
    assert model.r == pytest.approx(PUBLISHED.r, rel=0.1)
    assert model.alpha == pytest.approx(PUBLISHED.alpha, rel=0.15)
    assert model.a / (model.a + model.b) == pytest.approx(PUBLISHED.a / (PUBLISHED.a + PUBLISHED.b), rel=0.1)
