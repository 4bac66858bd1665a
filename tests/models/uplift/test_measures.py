"""Qini, uplift of the best, calibration: against figures worked out by hand, and what must hold of any."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.uplift.measures import calibration, calibration_error, qini, qini_curve, uplift_at
from tests.models.uplift.made import trial

# Four rows, best first: treated with an outcome, control without, treated without, control with.
EFFECTS = np.array([0.4, 0.3, 0.2, 0.1])
TREATED = np.array([1, 0, 1, 0])
OUTCOMES = np.array([1.0, 0.0, 0.0, 1.0])


def test_the_curve_and_qini_by_hand():
    count, gain = qini_curve(EFFECTS, TREATED, OUTCOMES)
    assert count.tolist() == [0, 1, 2, 3, 4]
    assert gain.tolist() == [0, 1, 1, 1, 0]  # at the end 1 - 1 · 2 / 2
    # Area 0.5 + 1 + 1 + 0.5 = 3 over a line at 0. The best order takes the same first, the same last, and the two
    # between together: gains 0, 1, 1, 0 at 0, 1, 3, 4 rows, area 3.
    assert qini(EFFECTS, TREATED, OUTCOMES) == 1.0
    # Other way round, after three rows 0 - 1 · 1 / 2: area 0 - 0.5 - 0.75 - 0.25.
    assert qini_curve(-EFFECTS, TREATED, OUTCOMES)[1].tolist() == [0, 0, -1, -0.5, 0]
    assert qini(-EFFECTS, TREATED, OUTCOMES) == pytest.approx(-1.5 / 3)


def test_rows_of_one_effect_are_taken_together_so_that_a_constant_is_worth_nothing():
    assert qini(np.zeros(4), TREATED, OUTCOMES) == 0.0
    assert qini_curve(np.zeros(4), TREATED, OUTCOMES)[0].tolist() == [0, 4]


@given(st.integers(0, 2**32 - 1))
def test_measures_do_not_depend_on_the_order_of_rows_nor_on_the_scale_of_effects(seed):
    rng = np.random.default_rng(seed)
    effects, treated = rng.integers(0, 5, 60) / 4, np.arange(60) % 2
    outcomes = (np.arange(60) % 3 == 0).astype(float)
    turned = rng.permutation(60)
    for measure in (qini, lambda *given: uplift_at(*given, 0.5)):
        found = measure(effects, treated, outcomes)
        assert measure(effects[turned], treated[turned], outcomes[turned]) == pytest.approx(found)
        assert measure(3 * effects + 1, treated, outcomes) == pytest.approx(found)
    assert qini(effects, treated, outcomes) <= 1


def test_the_true_effects_rank_far_above_chance_and_the_uplift_of_the_best_is_theirs():
    held, known = trial(40000)
    assert qini(known, held.treated, held.outcomes) > 0.08
    for share in (0.1, 0.3, 1.0):
        best = known >= np.quantile(known, 1 - share)
        assert uplift_at(known, held.treated, held.outcomes, share) == pytest.approx(
            known[best].mean(), abs=0.03
        )


def test_uplift_of_the_best_by_hand():
    assert uplift_at(EFFECTS, TREATED, OUTCOMES, 0.5) == 1.0
    assert uplift_at(EFFECTS, TREATED, OUTCOMES, 1.0) == 0.0
    assert uplift_at(np.zeros(4), TREATED, OUTCOMES, 0.5) == 0.0  # of one effect: all of them, by half


def test_true_effects_are_calibrated_and_doubled_ones_are_not():
    held, known = trial(40000)
    deciles = calibration(known, held.treated, held.outcomes)
    assert len(deciles) == 10
    assert sum(one.rows for one in deciles) == 40000
    assert [one.predicted for one in deciles] == sorted(one.predicted for one in deciles)
    assert all(abs(one.predicted - one.observed) < 4 * one.error for one in deciles)
    doubled = calibration(2 * known, held.treated, held.outcomes)
    assert calibration_error(doubled) > 3 * calibration_error(deciles)


def test_what_cannot_be_measured_is_refused_with_the_mend():
    for score, arm, came, message in (
        (
            [0.1, np.nan, 0, 0],
            TREATED,
            OUTCOMES,
            r"effects of shape \(4,\), finite: False; want a number a row",
        ),
        (EFFECTS, [1, 1, 1, 1], OUTCOMES, "treated: all 4 are 1"),
        (EFFECTS, TREATED, [0, 0, 0, 0], "outcomes: all 4 are 0, so no order is better than another"),
        (EFFECTS, TREATED, [1, 1, 1, 1], "outcomes: all 4 are 1, so no order"),
    ):
        with pytest.raises(ValueError, match=message):
            qini(np.asarray(score), np.asarray(arm), np.asarray(came))
    with pytest.raises(ValueError, match="share 0: want above 0 and at most 1"):
        uplift_at(EFFECTS, TREATED, OUTCOMES, 0.0)
    with pytest.raises(
        ValueError, match=r"share 0\.25 of 4 rows holds nobody of one arm; take a larger share"
    ):
        uplift_at(EFFECTS, TREATED, OUTCOMES, 0.25)
    with pytest.raises(ValueError, match="parts 4: a group has 0 treated and 1 controls; take fewer parts"):
        calibration(-EFFECTS[::-1], TREATED, OUTCOMES, parts=4)
