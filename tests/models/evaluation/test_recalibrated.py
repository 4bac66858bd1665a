"""A release's calibration can be taken off again, and what is fitted on top makes bad scores better."""

import numpy as np

from models import metrics, survival
from models.architecture import Calibration
from models.evaluation.recalibrated import as_trained, versions


def test_taking_the_calibration_off_gives_the_curve_as_trained() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(-1.5, 1.0, (50, 13))
    fitted = Calibration(
        tuple(np.linspace(0.6, 1.6, 13).tolist()), tuple(np.linspace(-0.5, 0.5, 13).tolist())
    )
    served = survival.survival(logits * np.array(fitted.hazard_scale) + np.array(fitted.hazard_shift))
    np.testing.assert_allclose(as_trained(served, fitted), survival.survival(logits), atol=2e-4)


def test_temperature_and_isotonic_regression_mend_scores_that_are_too_sure() -> None:
    rng = np.random.default_rng(1)
    true = 1 / (1 + np.exp(-rng.normal(size=6000)))
    labels = rng.random(6000) < true
    sure = true**3 / (true**3 + (1 - true) ** 3)
    found = versions(labels[:3000], sure[:3000], sure[3000:])
    before = metrics.binary(labels[3000:], sure[3000:])
    for scores in found.values():
        after = metrics.binary(labels[3000:], scores)
        assert after.ece < before.ece / 2
        assert after.brier < before.brier
    assert len(found) == 2


def test_one_outcome_alone_teaches_no_calibration() -> None:
    assert versions(np.ones(4, bool), np.linspace(0, 1, 4), np.array([0.5])) == {}
