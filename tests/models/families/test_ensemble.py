"""Averages weigh as they say; what a stack learns from was never seen by the members."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from models.families.ensemble import Averaged, Stacked
from models.families.logistic import Logistic
from tests.models.families.made import table


@dataclass
class Memory:
    """A model that says 0.9 of a row that it has seen and 0.1 of one that it has not."""

    seen: set = field(default_factory=set)
    groups: list = field(default_factory=list)

    def fit(self, inputs, labels, seed=0, groups=None):
        self.seen = set(inputs[:, 0].tolist())
        self.groups.append(groups)
        return self

    def predict(self, inputs):
        return np.array([0.9 if value in self.seen else 0.1 for value in inputs[:, 0].tolist()])


def test_the_average_is_the_weighted_mean_of_the_members():
    inputs, labels, _ = table()
    pair = [Logistic(), Logistic(log=True, strength=50.0)]
    model = Averaged(pair, weights=(3.0, 1.0)).fit(inputs, labels)
    one, other = (member.predict(inputs) for member in pair)
    assert model.predict(inputs) == pytest.approx(0.75 * one + 0.25 * other)


def test_no_member_of_a_stack_has_seen_the_rows_it_is_asked_about():
    inputs, labels, _ = table(rows=60)
    outside = Stacked([Memory(), Memory()], folds=3).out_of_fold(inputs, labels)
    assert outside.shape == (60, 2)
    assert (outside == 0.1).all()


def test_a_group_is_never_on_both_sides_of_a_fold():
    inputs, labels, _ = table(rows=60)
    inputs[:, 0] = np.arange(60) // 3
    groups = inputs[:, 0].astype(int)
    member = Memory()
    assert (Stacked([member], folds=4).out_of_fold(inputs, labels, groups=groups) == 0.1).all()
    assert all(len(inside) < 60 for inside in member.groups)


def test_a_stack_heeds_the_member_that_knows():
    inputs, labels, truth = table(rows=900)

    class Blind(Logistic):
        def fit(self, inputs, labels, seed=0, groups=None):
            return super().fit(inputs[:, 2:], labels, seed)

        def predict(self, inputs):
            return super().predict(inputs[:, 2:])

    model = Stacked([Blind(), Logistic()], folds=3).fit(inputs, labels)
    assert abs(model.final._weights[1]) > 5 * abs(model.final._weights[0])
    assert np.corrcoef(model.predict(inputs), truth)[0, 1] > 0.9


def test_ensembles_of_nothing_are_refused():
    with pytest.raises(ValueError, match="0 models with 0 weights"):
        Averaged([])
    with pytest.raises(ValueError, match="1 models with 2 weights"):
        Averaged([Logistic()], weights=(1.0, 2.0))
    with pytest.raises(ValueError, match="1 models, 1 folds"):
        Stacked([Logistic()], folds=1)
