"""Ridge regression: numbers of either sign, in closed form."""

import numpy as np
import pytest

from models.families import kinds
from models.families.boosting import Boosting
from models.families.ridge import Ridge


def amounts(rows=800, seed=0):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(5.0, 2.0, size=(rows, 3))
    return inputs, 2.0 * inputs[:, 0] - inputs[:, 1] - 7.0 + rng.normal(size=rows)


def test_it_finds_the_line_and_is_that_of_scikit_learn():
    from sklearn.linear_model import Ridge as Oracle

    inputs, labels = amounts()
    found = Ridge(50.0).fit(inputs, labels).predict(inputs)
    assert found.min() < 0 < found.max()
    standard = (inputs - inputs.mean(axis=0)) / inputs.std(axis=0)
    assert found == pytest.approx(Oracle(alpha=50.0).fit(standard, labels).predict(standard), abs=1e-6)
    assert np.corrcoef(found, labels)[0, 1] > 0.95


def test_a_stronger_penalty_draws_towards_the_mean():
    inputs, labels = amounts()
    spread = [Ridge(strength).fit(inputs, labels).predict(inputs).std() for strength in (1.0, 1e3, 1e6)]
    assert spread[0] > spread[1] > spread[2]
    assert Ridge(1e9).fit(inputs, labels).predict(inputs) == pytest.approx(labels.mean(), abs=1e-3)


@pytest.mark.parametrize("model", [Ridge(3.0), Boosting("l2", trees=40, held_out=0.0)], ids=["ridge", "l2"])
def test_numbers_of_either_sign_are_learnt_exported_and_checked(model, tmp_path):
    inputs, labels = amounts()
    found = model.fit(inputs, labels).predict(inputs)
    assert np.corrcoef(found, labels)[0, 1] > 0.9
    assert found.min() < 0
    model.export(tmp_path)
    assert np.array_equal(kinds.load(tmp_path).predict(inputs), found)
    with pytest.raises(ValueError, match="labels: inf is no amount"):
        model.fit(inputs, np.r_[np.inf, labels[1:]])


def test_a_strength_that_is_none_is_refused():
    with pytest.raises(ValueError, match="ridge: strength 0; want a number above 0"):
        Ridge(0.0)
