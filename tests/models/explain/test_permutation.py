"""Permutation importance finds the columns that a model uses, in tables and in sequences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import log_loss

from models import engine
from models.explain.permutation import of_release, of_table
from models.explain.trees import contributions, overall
from models.featurizer import DENSE
from models.network import weights_of
from models.release import write
from tests.models.releases import card, untrained
from tests.models.replay.shop import rows, sequences

RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(800, 4))
LABELS = (1 / (1 + np.exp(-2 * INPUTS[:, 2] - 0.7 * INPUTS[:, 0])) > RNG.random(800)).astype(int)
NAMES = ("some", "none", "much", "nothing")


def test_columns_are_ranked_by_what_they_are_worth() -> None:
    def predict(inputs: np.ndarray) -> np.ndarray:
        return np.asarray(1 / (1 + np.exp(-2 * inputs[:, 2] - 0.7 * inputs[:, 0])))

    found = of_table(predict, INPUTS, LABELS, NAMES, log_loss)
    assert [one.name for one in found[:2]] == ["much", "some"]
    assert {(one.worse, one.sd) for one in found[2:]} == {(0.0, 0.0)}
    assert found[0].worse > 5 * found[0].sd > 0


def test_of_a_release_only_what_its_heads_read_matters(tmp_path: Path) -> None:
    """A network whose heads read one dense feature of the last event, and nothing else."""
    network, about = untrained(card()), card()
    weights = weights_of(network)
    at = DENSE.index("log_baskets_month")
    weights["body.weight"][:] = 0.0
    weights["body.weight"][:, about.architecture.hidden + at] = 4.0
    weights["hazard.weight"][:] = -np.abs(weights["hazard.weight"])
    backend = engine.load(write(str(tmp_path), about, weights).uri)
    found = sequences(rows(shoppers=20, days=40))
    features, chosen = found.features(about.features), np.flatnonzero(found.last)
    labels = (features.dense[chosen, at] < np.median(features.dense[chosen, at])).astype(int)
    ranked = of_release(
        found, backend, features, chosen, "buy_7d", labels, lambda y, p: -np.corrcoef(y, p)[0, 1]
    )
    assert ranked[0].name == "log_baskets_month"
    assert ranked[0].worse > 0.3
    assert max(abs(one.worse) for one in ranked[1:]) < 1e-6


def test_tree_contributions_sum_to_the_answer() -> None:
    lightgbm = pytest.importorskip("lightgbm", reason="lightgbm is not installed")
    options = {"objective": "binary", "verbose": -1, "num_threads": 1, "seed": 0}
    booster = lightgbm.train(options, lightgbm.Dataset(INPUTS, LABELS), 30)
    found = contributions(booster, INPUTS)
    np.testing.assert_allclose(found.sum(1), booster.predict(INPUTS, raw_score=True), atol=1e-9)
    assert list(overall(found, NAMES))[:2] == ["much", "some"]
    with pytest.raises(ValueError, match="1 names for 4 columns"):
        overall(found, ["one"])
