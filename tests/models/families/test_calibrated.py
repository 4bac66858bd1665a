"""Calibration mends probabilities that are off, and is measured by how far they are from what came."""

import numpy as np
import pytest

from models import metrics
from models.families.calibrated import Calibrated, apply_map, fit_map
from models.families.logistic import Logistic


def gap(labels, scores):
    """Expected calibration error: how far bins are from what came, weighted by their rows."""
    return sum(
        one.rows * abs(one.predicted - one.observed) for one in metrics.calibration(labels, scores)
    ) / len(labels)


def rare(rows=6000, seed=0):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(rows, 2))
    truth = 1.0 / (1.0 + np.exp(3.0 - 1.5 * inputs[:, 0]))
    return inputs, (rng.random(rows) < truth).astype(np.float64)


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_what_balancing_the_classes_did_to_probabilities_is_mended(method):
    inputs, labels = rare()
    new, came = rare(seed=1)
    balanced = Logistic(balanced=True)
    raw = balanced.fit(inputs, labels).predict(new)
    scores = Calibrated(Logistic(balanced=True), method).fit(inputs, labels).predict(new)
    assert gap(came, raw) > 0.15
    assert gap(came, scores) < 0.03
    assert metrics.binary(came, scores).auc == pytest.approx(metrics.binary(came, raw).auc, abs=0.015)


def test_a_temperature_undoes_a_stretch_of_the_logits():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=20000)
    labels = rng.random(20000) < 1 / (1 + np.exp(-logits))
    sure = 1 / (1 + np.exp(-3 * logits))
    scale, shift = fit_map(sure, labels, "temperature")
    assert scale[0] == pytest.approx(1 / 3, rel=0.1)
    assert shift[0] == pytest.approx(0.0, abs=0.06)


def test_an_isotonic_map_never_falls_and_stays_within_0_and_1():
    rng = np.random.default_rng(0)
    scores = rng.random(500)
    fitted = fit_map(scores, rng.random(500) < scores, "isotonic")
    mapped = apply_map(np.linspace(-0.5, 1.5, 200), fitted, "isotonic")
    assert (np.diff(mapped) >= 0).all()
    assert 0 <= mapped.min() <= mapped.max() <= 1
