"""Figures on matured rows: equal to scikit-learn's, intervals that cover, differences that are paired; and the rule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from models.replay.matured import Matured
from models.replay.paired import FIGURES, alone, paired
from models.replay.rule import Bounds, promotable
from schemas.settings import Settings

SETTINGS = Settings(judged_rows=100)


def rows(
    n: int, noise: tuple[float, ...], seed: int = 0, stretch: float = 1.0, shift: float = 0.0
) -> Matured:
    """Outcomes of known probability; each release sees its logit with so much noise, the last one also bent."""
    rng = np.random.default_rng(seed)
    shopper = rng.integers(0, max(n // 4, 1), n)
    logit = rng.normal(size=max(n // 4, 1))[shopper] - 0.5
    came = rng.random(n) < 1 / (1 + np.exp(-logit))
    seen = np.stack([logit + rng.normal(size=n) * one for one in noise])
    seen[-1] = seen[-1] * stretch + shift
    return Matured("buy_7d", shopper, np.arange(n), came, 1 / (1 + np.exp(-seen)))


@hypothesis_settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(20, 200), st.sampled_from([1, 2, 8]))
def test_figures_are_those_of_scikit_learn_with_ties(seed: int, n: int, digits: int) -> None:
    found = rows(n, (1.0,), seed)
    scores = np.round(found.scores, digits)
    judged = alone(replace(found, scores=scores), resamples=5)
    came, score = found.came, scores[0]
    assert judged.brier.value == pytest.approx(brier_score_loss(came, score))
    sure = np.clip(score, 1e-7, 1 - 1e-7)
    assert judged.log_loss.value == pytest.approx(log_loss(came, sure, labels=[False, True]))
    if came.any() and not came.all():
        assert judged.auc.value == pytest.approx(roc_auc_score(came, score))
    else:
        assert np.isnan(judged.auc.value)
    assert judged.ratio.value == pytest.approx(came.sum() / score.sum())
    observed, expected = ((part + 0.5) / (n - part + 0.5) for part in (came.sum(), score.sum()))
    assert judged.odds.value == pytest.approx(observed / expected)


def test_an_interval_is_that_of_shoppers_not_of_rows() -> None:
    """Every row four times over by the same shopper: the interval stays as wide."""
    once = rows(800, (0.5,))
    often = Matured(
        *(
            once.task,
            *(np.repeat(part, 4) for part in (once.shopper, once.moment, once.came)),
            np.repeat(once.scores, 4, axis=1),
        )
    )
    one, many = alone(once), alone(often)
    for name in FIGURES:
        narrow, wide = getattr(one, name), getattr(many, name)
        assert wide.high - wide.low == pytest.approx(narrow.high - narrow.low, rel=0.01)
        assert narrow.low < narrow.value < narrow.high or name == "ece"


def test_a_difference_is_paired() -> None:
    """Two releases that hardly differ: the interval of the difference is far narrower than that of either."""
    found = paired(rows(2000, (0.5, 0.51)))
    wide = found.champion.log_loss.high - found.champion.log_loss.low
    assert found.difference.log_loss.high - found.difference.log_loss.low < wide
    same = rows(500, (0.5,))
    none = paired(replace(same, scores=np.repeat(same.scores, 2, axis=0))).difference
    assert all(tuple(getattr(none, name)) == (0, 0, 0) for name in FIGURES)


def test_the_same_seed_gives_the_same_interval() -> None:
    found = rows(300, (0.5, 1.0))
    assert paired(found) == paired(found) != paired(found, seed=1)


def test_no_rows_are_an_error() -> None:
    with pytest.raises(ValueError, match="no matured rows"):
        alone(replace(rows(20, (0.1,)), shopper=np.empty(0), came=np.empty(0, bool), scores=np.empty((1, 0))))


@pytest.mark.parametrize(
    ("noise", "n", "stretch", "good", "failing"),
    [
        ((1.5, 0.2), 2000, 1.0, True, ""),
        ((0.2, 1.5), 2000, 1.0, False, "log loss differs"),
        ((1.5, 0.2), 60, 1.0, False, "matured rows"),
        ((0.2, 0.2), 2000, 0.0, False, "95 % interval"),
    ],
)
def test_a_challenger_is_promoted_only_if_it_is_better(
    noise: tuple[float, ...], n: int, stretch: float, good: bool, failing: str
) -> None:
    verdict = promotable(paired(rows(n, noise, stretch=stretch)), SETTINGS)
    assert verdict.good is good
    assert any(line.startswith("FAILS") and failing in line for line in verdict.why) is not good
    assert verdict.enough is (n >= 100)


def test_a_better_ranking_that_promises_too_much_is_not_promoted() -> None:
    """The champion says nothing but the base rate, which is well calibrated; the challenger ranks, and exaggerates."""
    found = rows(3000, (0.0, 0.0), shift=0.55)
    found.scores[0] = found.came.mean()
    judged = paired(found)
    assert judged.difference.log_loss.high < 0
    (failed,) = [line for line in promotable(judged, SETTINGS).why if line.startswith("FAILS")]
    assert "observed over expected" in failed


@pytest.mark.parametrize(
    ("noise", "shift", "kept"), [(0.3, 0.0, True), (0.3, 1.5, False), (0.3, -1.5, False), (6.0, 0.0, False)]
)
def test_a_release_that_leaves_its_bounds_live_is_noticed(noise: float, shift: float, kept: bool) -> None:
    bounds = Bounds.of(rows(2000, (0.3,)), SETTINGS)
    assert bounds is not None
    assert Bounds.from_json(bounds.to_json()) == bounds
    live = rows(2000, (noise,), seed=1, shift=shift)
    verdict = bounds.kept(alone(live), len(live), SETTINGS)
    assert verdict.good is kept
    few = bounds.kept(alone(live), 99, SETTINGS)
    assert few.good
    assert not few.enough


def test_a_release_without_evidence_has_no_bounds() -> None:
    assert Bounds.of(rows(50, (0.3,)), SETTINGS) is None
    found = rows(500, (0.3,))
    assert Bounds.of(replace(found, came=np.ones(500, bool)), SETTINGS) is None
    assert Bounds.from_json(None) is None
