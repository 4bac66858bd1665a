"""The deep network: its learning curve, its repeatability beside other uses of torch, and counts."""

import numpy as np
import pytest
import torch

from models.families.dnn import Dnn
from tests.models.families.made import table


def small(**settings):
    return Dnn(hidden=(8,), **{"epochs": 4, "batch": 64, **settings})


def test_it_stops_when_held_out_rows_gain_no_more_and_keeps_the_best():
    inputs, labels, _ = table(rows=300)
    labels = np.random.default_rng(0).permutation(labels)
    model = small(epochs=60, patience=2, rate=0.03, dropout=0.0).fit(inputs, labels)
    held_out = [found for _, found in model.losses]
    assert len(held_out) < 60
    assert len(held_out) - 1 - int(np.argmin(held_out)) == 2


def test_learning_leaves_torchs_own_seed_and_threads_as_they_were():
    inputs, labels, _ = table()
    torch.manual_seed(5)
    wanted, threads = torch.rand(3), torch.get_num_threads()
    torch.manual_seed(5)
    small().fit(inputs, labels, seed=1)
    assert torch.equal(torch.rand(3), wanted)
    assert torch.get_num_threads() == threads


def test_other_seeds_give_other_networks():
    inputs, labels, _ = table()
    one, other = (small().fit(inputs, labels, seed).predict(inputs) for seed in (1, 2))
    assert not np.array_equal(one, other)


def test_counts_add_up():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(1500, 2))
    counts = rng.poisson(np.exp(0.7 * inputs[:, 0] - 0.5)).astype(np.float64)
    expected = small(objective="poisson", epochs=15, log=False).fit(inputs, counts).predict(inputs)
    assert (expected > 0).all()
    assert expected.sum() == pytest.approx(counts.sum(), rel=0.15)


def test_too_few_rows_to_hold_some_out_are_refused():
    with pytest.raises(ValueError, match=r"2 rows are too few to hold 0\.15 of them out"):
        small().fit(np.zeros((2, 1)), np.array([0.0, 1.0]))
