"""Calibration measured after: the same scores as trained, as released, and with temperature or isotonic regression on top.

What is fitted here is fitted on rows before the scored ones, and only measured: a release is served as it is.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from sklearn.isotonic import IsotonicRegression

from models.architecture import Calibration
from models.survival import FLOOR, survival

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

_SURE = 1e-6  # scores are held this far from 0 and 1, where a logit has no value
_EXTENT = 4.0  # of the logarithm of a temperature


def as_trained(curve: Array, calibration: Calibration) -> npt.NDArray[np.float32]:
    """The survival curve (N, 13) without its release's calibration: each interval's hazard logit z = (z' - shift) / scale."""
    curve = np.maximum(np.asarray(curve, np.float64), FLOOR)
    before = np.concatenate([np.ones((len(curve), 1)), curve[:, :-1]], axis=1)
    stays = np.clip(curve / before, 1e-9, 1 - 1e-9)
    logits = np.log1p(-stays) - np.log(stays)
    plain = (logits - np.array(calibration.hazard_shift)) / np.array(calibration.hazard_scale)
    return survival(plain)


def versions(labels: Array, scores: Array, asked: Array) -> dict[str, Floats]:
    """The asked scores (M,) with a temperature and with isotonic regression, each fitted on labels and scores (N,).

    Empty where only one outcome occurs. Temperature: logit / T of least log loss (Guo et al., ICML 2017).
    """
    labels = np.asarray(labels, bool)
    if labels.all() or not labels.any():
        return {}
    logits, wanted = _logits(scores), _logits(asked)

    def loss(log_heat: float) -> float:
        cooled = logits * np.exp(-log_heat)
        return float(np.logaddexp(0.0, np.where(labels, -cooled, cooled)).mean())

    heat = np.exp(minimize_scalar(loss, bounds=(-_EXTENT, _EXTENT), method="bounded").x)
    steps = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(scores, labels)
    return {
        "with a temperature": 1 / (1 + np.exp(-wanted / heat)),
        "with isotonic regression": np.asarray(steps.predict(asked), np.float64),
    }


def _logits(scores: Array) -> Floats:
    sure = np.clip(np.asarray(scores, np.float64), _SURE, 1 - _SURE)
    return np.asarray(np.log(sure) - np.log1p(-sure))
