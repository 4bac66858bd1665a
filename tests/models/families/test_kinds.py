"""What holds of every model of tables, made by its kind as a parameter file makes it."""

import numpy as np
import pytest

from models.families import kinds
from tests.models.families.made import table

SMALL = {"kind": "boosting", "trees": 20, "least_rows": 5}
ALL = {
    "logistic": {"kind": "logistic"},
    "lasso": {"kind": "logistic", "penalty": "l1", "strength": 5.0, "log": True},
    "svm": {"kind": "svm", "balanced": True},
    "boosting": SMALL,
    "forest": {**SMALL, "forest": True},
    "dnn": {"kind": "dnn", "hidden": [8], "epochs": 3, "batch": 64},
    "averaged": {"kind": "averaged", "models": [SMALL, {"kind": "logistic"}], "weights": [2.0, 1.0]},
    "stacked": {"kind": "stacked", "models": [SMALL, {"kind": "logistic"}], "folds": 2},
    "temperature": {"kind": "calibrated", "model": SMALL, "method": "temperature"},
    "isotonic": {"kind": "calibrated", "model": {"kind": "logistic", "balanced": True}, "method": "isotonic"},
}
every = pytest.mark.parametrize("given", ALL.values(), ids=ALL)


@every
def test_it_learns_what_drives_the_label(given):
    inputs, labels, truth = table()
    model = kinds.make(given).fit(inputs[:400], labels[:400])
    scores = model.predict(inputs[400:])
    assert scores.shape == (200,)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert np.corrcoef(scores, truth[400:])[0, 1] > 0.7


@every
def test_what_was_exported_predicts_the_same_to_the_bit(given, tmp_path):
    inputs, labels, _ = table()
    model = kinds.make(given).fit(inputs, labels)
    model.export(tmp_path / "model")
    loaded = kinds.load(tmp_path / "model")
    assert type(loaded) is type(model)
    assert np.array_equal(loaded.predict(inputs), model.predict(inputs))
    loaded.export(tmp_path / "again")
    assert np.array_equal(kinds.load(tmp_path / "again").predict(inputs), model.predict(inputs))
    assert not list(tmp_path.rglob("*.pkl"))


@every
def test_one_seed_gives_one_result(given):
    inputs, labels, _ = table()
    one, other = (kinds.make(given).fit(inputs, labels, seed=3).predict(inputs) for _ in range(2))
    assert np.array_equal(one, other)


@every
def test_nothing_to_learn_from_is_refused_with_the_mend(given):
    inputs, labels, _ = table(rows=100)
    model = kinds.make(given)
    with pytest.raises(
        ValueError, match="all 100 are 1, and one class teaches nothing; take a longer interval"
    ):
        model.fit(inputs, np.ones(100))
    with pytest.raises(ValueError, match="nothing to learn from; give rows"):
        model.fit(inputs[:0], labels[:0])
    with pytest.raises(ValueError, match="want one label a row"):
        model.fit(inputs, labels[:50])
    with pytest.raises(ValueError, match="1 are NaN"):
        model.fit(inputs, np.r_[np.nan, labels[1:]])


@every
def test_other_columns_than_it_learnt_from_are_refused(given):
    inputs, labels, _ = table()
    model = kinds.make(given).fit(inputs, labels)
    with pytest.raises(ValueError, match=r"inputs have 3 columns, the model learnt from 4: give the columns"):
        model.predict(inputs[:, :3])
    holed = inputs.copy()
    holed[5, 1] = np.inf
    with pytest.raises(ValueError, match="column 1 holds inf; write NaN"):
        model.predict(holed)


@every
def test_a_column_that_is_never_known_or_always_the_same_does_no_harm(given):
    inputs, labels, _ = table()
    inputs[:, 2], inputs[:, 3] = np.nan, 7.0
    model = kinds.make(given).fit(inputs, labels)
    assert np.isfinite(model.predict(inputs)).all()
    assert np.isfinite(model.predict(np.full((1, 4), np.nan))).all()


def test_an_unknown_kind_or_setting_is_named_beside_those_that_are():
    with pytest.raises(ValueError, match="kind: oracle is none of logistic, svm"):
        kinds.make({"kind": "oracle"})
    with pytest.raises(ValueError, match="logistic: no setting depth; it has penalty, strength"):
        kinds.make({"kind": "logistic", "depth": 3})


def test_a_folder_without_a_model_or_with_another_is_named(tmp_path):
    from models.families.svm import Svm

    with pytest.raises(ValueError, match=r"holds no model\.json"):
        kinds.load(tmp_path)
    inputs, labels, _ = table()
    kinds.make({"kind": "logistic"}).fit(inputs, labels).export(tmp_path)
    with pytest.raises(ValueError, match="holds a model of kind logistic, not svm"):
        Svm.load(tmp_path)
