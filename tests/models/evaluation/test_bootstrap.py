"""Intervals: figures under weights are scikit-learn's, shoppers are what is resampled, and 95 % means 95 %."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from models import metrics
from models.evaluation.bootstrap import Means, Resamples, YesNo, spread

SHOPPERS = 6


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """shopper, labels, scores with many ties, weights of the shoppers."""
    size = draw(st.integers(SHOPPERS, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shopper = np.concatenate([np.arange(SHOPPERS), rng.integers(0, SHOPPERS, size - SHOPPERS)])
    scores = rng.integers(0, 8, size) / 7
    return shopper, rng.random(size) < 0.5, scores, rng.integers(0, 4, SHOPPERS).astype(float)


@given(cases())
def test_figures_under_weights_are_those_of_scikit_learn(
    case: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    shopper, labels, scores, weights = case
    said, row = scores >= 0.5, weights[shopper]
    found = YesNo(Resamples(shopper), labels, scores, said)(weights[None], 1)
    if not row.sum():
        return
    plain = {"sample_weight": row}
    assert found["brier"][0] == pytest.approx(sk.brier_score_loss(labels, scores, pos_label=True, **plain))
    assert found["log_loss"][0] == pytest.approx(sk.log_loss(labels, scores, labels=[False, True], **plain))
    assert found["accuracy"][0] == pytest.approx(sk.accuracy_score(labels, said, **plain))
    repeated = np.repeat(np.arange(len(row)), row.astype(int))
    assert found["ece"][0] == pytest.approx(metrics.binary(labels[repeated], scores[repeated]).ece)
    if row[said].sum():
        assert found["precision"][0] == pytest.approx(sk.precision_score(labels, said, **plain))
    if row[labels].sum() and row[~labels].sum():
        assert found["auc"][0] == pytest.approx(sk.roc_auc_score(labels, scores, **plain))
        assert found["average_precision"][0] == pytest.approx(
            sk.average_precision_score(labels, scores, **plain)
        )
    else:
        assert np.isnan(found["auc"][0])


def test_a_resample_draws_as_many_shoppers_as_there_are_and_one_seed_gives_one_result() -> None:
    shopper = np.repeat([7, 3, 11], [1, 5, 2])
    drawn = np.concatenate(list(Resamples(shopper, 50, seed=4).weights()))
    assert drawn.shape == (50, 3)
    assert (drawn.sum(axis=1) == 3).all()
    assert np.array_equal(drawn, np.concatenate(list(Resamples(shopper, 50, seed=4).weights())))
    assert not np.array_equal(drawn, np.concatenate(list(Resamples(shopper, 50, seed=5).weights())))


def clustered(rng: np.random.Generator, shoppers: int = 60, rows: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Values of mean 0, most of whose variance is between shoppers."""
    shopper = np.repeat(np.arange(shoppers), rows)
    return shopper, np.repeat(rng.normal(size=shoppers), rows) + 0.5 * rng.normal(size=len(shopper))


def covered(by_row: bool) -> float:
    """Share of 400 samples whose interval for the mean holds the true one."""
    rng, held = np.random.default_rng(0), 0
    for number in range(400):
        shopper, values = clustered(rng)
        resamples = Resamples(np.arange(len(shopper)) if by_row else shopper, 300, seed=number)
        draws = resamples.draw({"mean": Means(resamples, {"value": values})})["mean"]["value"]
        interval = spread("value", float(values.mean()), draws)
        assert interval is not None
        held += interval.low <= 0 <= interval.high
    return held / 400


def test_intervals_over_shoppers_hold_the_truth_as_often_as_they_say_and_those_over_rows_do_not() -> None:
    assert covered(by_row=False) == pytest.approx(
        0.943, abs=0.03
    )  # what 60 shoppers and 1.96 standard errors give
    assert covered(by_row=True) < 0.75


def test_the_interval_of_an_auc_holds_the_true_one() -> None:
    """Scores normal with means 0 and 1: AUC = Phi(1 / sqrt 2)."""
    rng, held = np.random.default_rng(1), 0
    for number in range(100):
        labels = rng.random(200) < 0.4
        scores = 1 / (1 + np.exp(-(rng.normal(size=200) + labels)))
        resamples = Resamples(np.arange(200), 200, seed=number)
        draws = resamples.draw({"m": YesNo(resamples, labels, scores, scores > 0.5)})["m"]["auc"]
        interval = spread("auc", metrics.roc_auc(labels, scores), draws)
        assert interval is not None
        held += interval.low <= 0.76025 <= interval.high
    assert 0.88 <= held / 100 <= 1.0


def test_the_ece_of_a_calibrated_model_has_an_interval_that_reaches_down_to_nothing() -> None:
    rng = np.random.default_rng(2)
    scores = rng.random(1500)
    labels = rng.random(1500) < scores
    resamples = Resamples(np.arange(1500))
    draws = resamples.draw({"m": YesNo(resamples, labels, scores, scores > 0.5)})["m"]["ece"]
    interval = spread("ece", metrics.binary(labels, scores).ece, draws)
    assert interval is not None
    assert interval.low < 0.01
    assert interval.high < 0.05


def test_many_rows_get_fewer_resamples_for_what_has_to_be_sorted() -> None:
    assert Resamples(np.zeros(1000)).ranked == 1000
    assert Resamples(np.zeros(200_000)).ranked == 200


def test_a_figure_without_value_or_draws_has_no_interval() -> None:
    assert spread("auc", None, np.full(10, np.nan)) is None
    assert spread("auc", 0.5, np.full(1000, np.nan)) is None
