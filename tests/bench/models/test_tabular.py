"""Metrics of a split, means over splits, and predictions of rows that were not learnt from."""

import numpy as np
import pytest

from bench.models import tabular
from bench.models.tabular import Rows
from models.families import kinds

LABELS = np.array([0.0, 0.0, 1.0, 1.0])


def test_quality_of_a_split():
    found = tabular.quality(LABELS, np.array([0.1, 0.6, 0.4, 0.9]))
    assert found["auc"] == pytest.approx(0.75)
    assert found["brier"] == pytest.approx((0.01 + 0.36 + 0.36 + 0.01) / 4)
    assert (found["accuracy"], found["f1"]) == (0.5, 0.5)
    with pytest.raises(ValueError, match="all 2 labels of the split are the same"):
        tabular.quality(LABELS[:2], np.array([0.1, 0.2]))


def test_means_over_splits_with_the_deviation_of_the_auc():
    found = tabular.over_splits([{"auc": 0.7, "f1": 0.5}, {"auc": 0.9, "f1": 0.7}])
    assert found == {
        "auc": pytest.approx(0.8),
        "f1": pytest.approx(0.6),
        "auc_sd": pytest.approx(0.1 * 2**0.5),
    }
    assert tabular.over_splits([{"auc": 0.7}]) == {"auc": 0.7}


def test_errors_of_counts():
    found = tabular.errors(np.array([0.0, 2.0]), np.array([1.0, 4.0]))
    assert found == {"mae": 1.5, "rmse": pytest.approx(2.5**0.5), "total": 5.0}


class Recorder:
    """Notes what it learnt from."""

    learnt: list

    def __init__(self):
        self.learnt = []

    def fit(self, inputs, labels, seed=0, groups=None):
        self.learnt.append((inputs[:, 0].tolist(), groups))
        return self

    def predict(self, inputs):
        return np.full(len(inputs), float(len(self.learnt)))


def test_rows_of_a_fold_are_told_by_what_learnt_from_the_others(monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr(kinds, "make", lambda given: recorder)
    inputs, fold = np.arange(4.0)[:, None], np.array([0, 1, 0, 1])
    assert tabular.out_of_fold({}, inputs, LABELS, fold).tolist() == [1, 2, 1, 2]
    assert recorder.learnt == [([1.0, 3.0], None), ([0.0, 2.0], None)]


def test_further_rows_of_who_is_judged_are_not_learnt_from(monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr(kinds, "make", lambda given: recorder)
    more = Rows(np.array([[10.0], [11.0], [13.0]]), np.zeros(3), np.array([0, 1, 3]))
    tabular.out_of_fold({}, np.arange(4.0)[:, None], LABELS, np.array([0, 1, 0, 1]), more=more)
    assert [rows for rows, _ in recorder.learnt] == [[1.0, 3.0, 11.0, 13.0], [0.0, 2.0, 10.0]]
    assert recorder.learnt[0][1].tolist() == [1, 3, 1, 3]


def test_a_short_run_has_few_trees_also_within_ensembles():
    given = {
        "all": {
            "kind": "averaged",
            "models": [{"kind": "boosting", "trees": 500}, {"kind": "dnn", "epochs": 9}],
        }
    }
    short = tabular.few(given, fast=True)["all"]["models"]
    assert (short[0]["trees"], short[1]["epochs"]) == (20, 2)
    assert tabular.few(given, fast=False) == given
