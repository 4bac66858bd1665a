"""Trees: amounts and medians, early stopping, forests that hold means."""

import numpy as np
import pytest

from models.families.boosting import TREES_FILE, Boosting
from tests.models.families.made import table


def amounts(rows=1500, seed=0):
    """Inputs (N, 2) and counts (N,) with a mean that the first column drives and many zeros."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(rows, 2))
    return inputs, rng.poisson(np.exp(0.7 * inputs[:, 0] - 0.5)).astype(np.float64)


@pytest.mark.parametrize("objective", ["poisson", "tweedie"])
def test_counts_and_amounts_add_up(objective):
    inputs, counts = amounts()
    expected = Boosting(objective, trees=100, least_rows=20).fit(inputs, counts).predict(inputs)
    assert (expected >= 0).all()
    assert expected.sum() == pytest.approx(counts.sum(), rel=0.1)
    assert np.corrcoef(expected, inputs[:, 0])[0, 1] > 0.7


def test_the_median_has_the_smaller_mae_and_the_mean_the_smaller_rmse():
    inputs, counts = amounts()
    new, truth = amounts(seed=1)
    median, mean = (
        Boosting(objective, trees=100, least_rows=20).fit(inputs, counts).predict(new)
        for objective in ("l1", "poisson")
    )
    assert np.abs(median - truth).mean() < np.abs(mean - truth).mean()
    assert ((mean - truth) ** 2).mean() < ((median - truth) ** 2).mean()


def test_it_stops_where_held_out_rows_gain_no_more():
    rng = np.random.default_rng(0)
    inputs, labels, _ = table()
    noise = Boosting(trees=400, patience=10).fit(inputs, rng.integers(0, 2, len(inputs)))
    signal = Boosting(trees=400, patience=10).fit(inputs, labels)
    count = {
        name: len(model._trees.dump_model()["tree_info"]) for name, model in (("n", noise), ("s", signal))
    }
    assert count["n"] < count["s"] < 400


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_a_forest_is_right_on_average(share):
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(2000, 3))
    labels = (rng.random(2000) < share * np.exp(inputs[:, 0] - 0.5)).astype(np.float64)
    forest = Boosting(forest=True, trees=50, leaves=64, least_rows=5, l2=0.0, columns=1.0)
    scores = forest.fit(inputs, labels).predict(inputs)
    assert scores.mean() == pytest.approx(labels.mean(), rel=0.05)


def test_balanced_classes_score_higher_where_buyers_are_few():
    inputs, labels, _ = table(rows=1000)
    labels *= np.random.default_rng(1).random(1000) < 0.2
    plain, balanced = (
        Boosting(trees=40, balanced=way).fit(inputs, labels).predict(inputs).mean() for way in (False, True)
    )
    assert plain == pytest.approx(labels.mean(), abs=0.03)
    assert balanced > 2 * plain


def test_importance_names_the_columns_that_matter():
    inputs, labels, _ = table()
    share = Boosting(trees=50).fit(inputs, labels).importance()
    assert share.sum() == pytest.approx(1.0)
    assert share[:2].sum() > 0.6


def test_what_makes_no_sense_is_refused(tmp_path):
    inputs, labels, _ = table()
    with pytest.raises(ValueError, match="l1 with forest; a forest gives means"):
        Boosting("l1", forest=True)
    with pytest.raises(ValueError, match="-1 is below 0; amounts"):
        Boosting("poisson").fit(inputs, labels - 1)
    with pytest.raises(ValueError, match="2 is neither 0 nor 1; choose a model of amounts"):
        Boosting().fit(inputs, labels * 2)


def test_trees_that_were_cut_short_are_refused(tmp_path):
    inputs, labels, _ = table()
    Boosting(trees=20, held_out=0.0).fit(inputs, labels).export(tmp_path)
    text = (tmp_path / TREES_FILE).read_text()
    (tmp_path / TREES_FILE).write_text(text.partition("Tree=10")[0])
    with pytest.raises(ValueError, match="cut short"):
        Boosting.load(tmp_path)
