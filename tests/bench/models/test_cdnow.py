"""CDNOW's protocol on purchases made up."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.models import cdnow

TEXT = """ customer_id  date number_of_cds  dollar_value
 00001 19970101  1   10.00
 00001 19970101  2   20.00
 00001 19970903  1    5.00
 00001 19971001  1    8.00
 00001 19980630  1    8.00
 00001 19980701  1    8.00
 00002 19970305  3   12.00
"""


@pytest.fixture
def days(tmp_path: Path):
    (tmp_path / "CDNOW_master.txt").write_text(TEXT)
    return cdnow.read(tmp_path / "CDNOW_master.txt")


def test_purchases_of_a_day_are_one(days):
    assert len(days) == 6
    first = days.iloc[0]
    assert (first.customer, first.cds, first.dollars, first.receipts) == ("00001", 3, 30.0, 2)


def test_a_history_ends_with_the_last_known_day(days):
    known = cdnow.histories(days, cdnow.END)
    one, two = known.loc["00001"], known.loc["00002"]
    assert (one.frequency, one.recency, one.age) == (1, pytest.approx(35.0), pytest.approx(272 / 7))
    assert one.since == pytest.approx(27 / 7)
    assert (one.spent, one.spent_last, one.spent_most) == (35.0, 5.0, 30.0)
    assert (one.days_2_4, one.days_8_13, one.days_26_40) == (1, 0, 1)
    assert (two.frequency, two.recency) == (0, 0)
    assert np.isnan(two.gap)


def test_nothing_after_the_last_known_day_changes_a_history(days):
    until = days[days["date"] <= cdnow.END]
    pd.testing.assert_frame_equal(cdnow.histories(days, cdnow.END), cdnow.histories(until, cdnow.END))


def test_the_39_weeks_after_are_counted_to_their_last_day(days):
    known = cdnow.histories(days, cdnow.END)
    assert cdnow.bought(days, known.index, cdnow.END).tolist() == [2.0, 0.0]


def test_earlier_moments_know_only_who_was_there(days):
    ((then, count, who),) = cdnow.moments(days, cdnow.histories(days, cdnow.END), ["1997-01-31"])
    assert then.index.tolist() == ["00001"]
    assert (count.tolist(), who.tolist()) == ([2.0], [0])


def test_expected_counts_rank_churn_from_below():
    found = cdnow.counts(np.array([0.0, 0.0, 3.0]), np.array([0.2, 0.1, 2.0]))
    assert found["auc"] == 1.0
    assert found["total"] == pytest.approx(2.3)
