"""The protocol of online shoppers on sessions made up."""

import numpy as np
import pandas as pd
import pytest

from bench.models import online_shoppers as row


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


def test_random_splits_are_70_30_with_as_many_buyers_and_the_same_every_time(sessions):
    splits = row.random_splits(sessions, 3)
    for (learnt, apart), (again, _) in zip(splits, row.random_splits(sessions, 3), strict=True):
        assert len(apart) == 12
        assert not set(learnt) & set(apart)
        assert sessions.bought[apart].sum() == 3
        assert np.array_equal(learnt, again)
