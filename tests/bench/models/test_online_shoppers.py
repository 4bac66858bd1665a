"""The protocol of online shoppers on sessions made up."""

import numpy as np
import pandas as pd
import pytest

from bench.models import online_shoppers as row
from bench.models.row import NoData, data, parameters


@pytest.fixture
def sessions(tmp_path):
    months = ["Feb", "May", "Nov", "Dec"] * 10
    frame = pd.DataFrame(
        {
            "PageValues": np.arange(40.0),
            "BounceRates": 0.1,
            "Month": months,
            "VisitorType": ["New_Visitor", "Other"] * 20,
            "Weekend": [True, False] * 20,
            "Revenue": [True, *[False] * 3] * 10,
        }
    )
    frame.loc[39, "PageValues"] = None
    path = tmp_path / "shoppers.csv"
    frame.to_csv(path, index=False)
    return row.read(path)


def test_names_become_columns_and_incomplete_rows_are_left_out(sessions):
    assert sessions.inputs.shape == (39, 9)
    assert {"Month_Feb", "VisitorType_Other", "Weekend"} <= set(sessions.names)
    assert "Revenue" not in sessions.names
    assert sessions.bought.tolist() == [1.0, 0.0, 0.0, 0.0] * 9 + [1.0, 0.0, 0.0]


def test_columns_are_left_out_by_how_their_names_begin(sessions):
    small = sessions.without("Month", "PageValues")
    assert not any(name.startswith(("Month", "PageValues")) for name in small.names)
    assert small.inputs.shape == (39, len(small.names))
    assert len(small.bought) == 39


def test_the_split_by_time_learns_from_before_november(sessions):
    learnt, apart = row.time_split(sessions)
    assert set(sessions.month[learnt]) == {"Feb", "May"}
    assert set(sessions.month[apart]) == {"Nov", "Dec"}
    assert len(learnt) + len(apart) == 39


@pytest.fixture
def year():
    """Two sessions a month, one with PageValues and one without."""
    months = np.repeat(["Feb", "Mar", "May", "June", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"], 2)
    values = np.arange(20.0)[:, None] % 2
    return row.Sessions(values, ("PageValues",), values[:, 0], months)


def test_validation_judges_months_by_those_before_or_by_all_others_and_reads_no_test_month(year):
    forward, left_out = row.forward_splits(year), row.left_out_splits(year)
    assert [set(year.month[apart]) for _, apart in forward] == [{"Aug"}, {"Sep"}, {"Oct"}]
    assert [len(learnt) for learnt, _ in forward] == [10, 12, 14]
    assert [set(year.month[apart]) for _, apart in left_out] == [{m} for m in row.SINCE]
    assert all(len(learnt) == 14 for learnt, _ in left_out)
    for learnt, apart in forward + left_out:
        assert not set(learnt) & set(apart)
        assert not set(year.month[learnt]) & set(row.LATE)


def test_early_sessions_without_page_values_are_left_out_of_learning_only(year):
    learnt, apart = row.zeros_since_june(year, row.time_split(year))
    early = np.isin(year.month[learnt], row.EARLY)
    assert (year.inputs[learnt[early], 0] > 0).all()
    assert early.sum() == 3
    assert (~early).sum() == 10
    assert len(apart) == 4


def test_the_correction_for_label_shift_moves_probabilities_and_keeps_their_order():
    rng = np.random.default_rng(0)
    bought = (rng.random(4000) < np.repeat([0.1, 0.4], 2000)).astype(np.float64)
    inputs = rng.normal(1.5 * bought)[:, None]
    sessions = row.Sessions(inputs, ("PageValues",), bought, np.repeat(["Oct", "Nov"], 2000))
    given, splits = {"kind": "logistic"}, [row.time_split(sessions)]
    plain, corrected = (row.judged(given, sessions, splits, way) for way in (False, True))
    assert corrected["brier"] < plain["brier"] - 0.01
    assert corrected["auc"] == plain["auc"]


def test_the_column_that_the_parted_model_reads_is_that_of_page_values():
    (path,) = found_or_skipped()
    names = row.read(path).without("Month").names
    assert names[parameters("online_shoppers")["models"]["parted"]["column"]] == "PageValues"


def found_or_skipped():
    try:
        return data("online_shoppers_intention", "online_shoppers_intention.csv")
    except NoData as absent:
        pytest.skip(str(absent))


def test_random_splits_are_70_30_with_as_many_buyers_and_the_same_every_time(sessions):
    splits = row.random_splits(sessions, 3)
    for (learnt, apart), (again, _) in zip(splits, row.random_splits(sessions, 3), strict=True):
        assert len(apart) == 12
        assert not set(learnt) & set(apart)
        assert sessions.bought[apart].sum() == 3
        assert np.array_equal(learnt, again)
