"""The carts' protocol on sessions made up: nothing later than the cutoff, no visitor on both sides."""

import numpy as np
import pandas as pd
import pytest

from bench.models import retailrocket_cart as row


@pytest.fixture
def carts(tmp_path):
    keys = [
        ("7_1", 0, 0),
        ("7_1", 1, 0),
        ("7_3", 0, 1),
        ("7_3", 1, 1),
        ("7_3", 2, 0),
        ("9_1", 0, 0),
        ("10_2", 0, 1),
    ]
    frame = pd.DataFrame(keys, columns=["session_key", "cutoff_k", "y"])
    frame["visitorid"] = frame["session_key"].str.partition("_")[0].astype(int)
    for place, name in enumerate(row.LADDER):
        frame[name] = 100.0 * place + np.arange(len(frame))
    path = tmp_path / "prefix.parquet"
    frame.sample(frac=1, random_state=0).to_parquet(path)
    return row.read(path)


def at(carts, session, k):
    return int(np.flatnonzero((carts.session == session) & (carts.cutoff == k))[0])


def test_labels_and_names_are_no_inputs(carts):
    assert set(carts.known) == {"cutoff_k", *row.LADDER}


def test_a_row_is_given_the_cutoffs_before_it_and_none_after(carts):
    wide = row.with_ladder(carts)
    last, first = at(carts, "7_3", 2), at(carts, "7_3", 0)
    for k in (0, 1):
        assert wide[f"view_count@{k}"][last] == carts.known["view_count"][at(carts, "7_3", k)]
    assert wide.iloc[first][[name for name in wide if "@" in name]].isna().all()


def test_no_visitor_is_on_both_sides(carts):
    fold = row.folds(carts, 2)
    for one in np.unique(carts.visitor):
        assert len(set(fold[carts.visitor == one])) == 1


def test_the_past_is_that_of_sessions_with_a_lower_number(carts):
    known = row.past(carts)
    second, first = at(carts, "7_3", 0), at(carts, "7_1", 1)
    assert row.visit(carts)[second] == 3
    assert {name: values[second] for name, values in known.items()} == {
        "carts_before": 1,
        "bought_before": 0,
        "visits_since_cart": 2,
        "last_cart_bought": 0,
    }
    assert known["carts_before"][first] == 0
    assert np.isnan(known["last_cart_bought"][first])


def test_how_a_session_ends_is_not_in_its_own_past(carts):
    turned = carts._replace(bought=np.where(carts.session == "7_3", 1 - carts.bought, carts.bought))
    for name, values in row.past(carts).items():
        assert np.array_equal(values, row.past(turned)[name], equal_nan=True)


def test_every_cutoff_is_judged_by_itself():
    cutoff = np.array([0, 0, 1, 1])
    carts = row.Carts(pd.DataFrame(), np.array([]), np.array([]), cutoff, np.array([0.0, 1.0, 0.0, 1.0]))
    found = row.by_cutoff(carts, np.array([0.1, 0.9, 0.9, 0.1]))
    assert (found["auc@0"], found["auc@1"]) == (1.0, 0.0)
    assert list(found) == ["auc@0", "auc@1", "ap@0", "ap@1", "brier"]
