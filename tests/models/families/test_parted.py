"""Each part of the rows is learnt from its own rows only."""

import numpy as np
import pytest

from models.families import kinds
from models.families.logistic import Logistic
from models.families.parted import Parted
from tests.models.families import made

GIVEN = {
    "kind": "parted",
    "column": 2,
    "above": {"kind": "logistic"},
    "below": {"kind": "averaged", "models": [{"kind": "logistic", "strength": 10}, {"kind": "logistic"}]},
}


def test_rows_are_scored_by_the_model_of_their_part_and_nan_is_below():
    inputs, labels, _ = made.table()
    found = Parted(Logistic(), Logistic(strength=10), column=2).fit(inputs, labels).predict(inputs)
    above = inputs[:, 2] > 0
    assert np.isnan(inputs[~above, 2]).any()
    alone = Logistic().fit(inputs[above], labels[above]).predict(inputs[above])
    other = Logistic(strength=10).fit(inputs[~above], labels[~above]).predict(inputs[~above])
    assert np.array_equal(found[above], alone)
    assert np.array_equal(found[~above], other)


def test_what_one_part_holds_does_not_reach_the_other():
    inputs, labels, _ = made.table()
    above = inputs[:, 2] > 0
    turned = np.where(above, labels, 1 - labels)
    before, after = (kinds.make(GIVEN).fit(inputs, one).predict(inputs) for one in (labels, turned))
    assert np.array_equal(before[above], after[above])
    assert not np.allclose(before[~above], after[~above])


def test_it_is_exported_and_read_again(tmp_path):
    inputs, labels, _ = made.table()
    model = kinds.make(GIVEN).fit(inputs, labels, groups=np.arange(len(labels)) // 2)
    model.export(tmp_path)
    assert np.array_equal(kinds.load(tmp_path).predict(inputs), model.predict(inputs))


@pytest.mark.parametrize("rows", [0, 1])
def test_few_rows_are_scored_too(rows):
    inputs, labels, _ = made.table()
    assert kinds.make(GIVEN).fit(inputs, labels).predict(inputs[:rows]).shape == (rows,)


def test_a_part_without_rows_or_with_one_class_is_refused_by_name():
    inputs, labels, _ = made.table()
    with pytest.raises(ValueError, match=r"above 99: .*nothing to learn from"):
        Parted(Logistic(), Logistic(), column=0, at=99.0).fit(inputs, labels)
    never = np.where(inputs[:, 2] > 0, labels, 0.0)
    with pytest.raises(ValueError, match=r"below 0: .*one class"):
        kinds.make(GIVEN).fit(inputs, never)


def test_a_column_that_is_not_there_is_refused():
    inputs, labels, _ = made.table()
    with pytest.raises(ValueError, match="column 4 of 4"):
        Parted(Logistic(), Logistic(), column=4).fit(inputs, labels)
