"""Labels, likelihood, scores and ageing of the time to the next purchase."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models import survival
from models.survival import SURVIVAL_DAYS

GRID = np.array(SURVIVAL_DAYS, float)
logit_rows = st.lists(st.floats(-8, 4), min_size=13, max_size=13).map(lambda row: np.array([row]))


@pytest.mark.parametrize(
    ("days", "observed", "survived", "bought"),
    [
        (0.01, 100, 0, True),  # within the first day
        (1.0, 100, 0, True),  # the edge belongs to the interval before it
        (1.01, 100, 1, True),
        (120.0, 200, 12, True),
        (121.0, 200, 13, False),  # after the grid: survived all of it
        (np.inf, 6.9, 4, False),  # 5 days wholly observed, the interval to day 7 not
        (np.nan, 7.0, 5, False),
        (np.inf, 0.5, 0, False),  # nothing observed
        (8.0, 7.5, 5, False),  # a purchase after the cut must not be known
    ],
)
def test_target(days: float, observed: float, survived: int, bought: bool) -> None:
    got = survival.target(np.array([days]), np.array([observed]))
    assert (got.survived[0], got.bought[0]) == (survived, bought)


@given(logit_rows, st.integers(0, 13), st.booleans())
def test_nll_is_the_log_probability_of_what_was_seen(logits: np.ndarray, survived: int, bought: bool) -> None:
    bought = bought and survived < 13
    curve = np.concatenate([[1.0], survival.survival(logits)[0].astype(float)])
    seen = curve[survived] - curve[survived + 1] if bought else curve[survived]
    loss = survival.nll(torch.tensor(logits), torch.tensor([survived]), torch.tensor([bought]))
    assert np.exp(-loss.item()) == pytest.approx(seen, abs=2e-6)


@given(logit_rows)
def test_scores_are_read_off_one_falling_curve(logits: np.ndarray) -> None:
    curve = survival.survival(logits)
    assert (np.diff(curve, axis=1) <= 0).all()
    assert 0 <= curve.min() <= curve.max() <= 1
    buy3, buy7, buy30, lapse30 = survival.scores(curve)[0]
    assert buy3 <= buy7 <= buy30
    assert buy30 + lapse30 == pytest.approx(1)


def test_unknown_task_names_itself_and_the_grid() -> None:
    with pytest.raises(ValueError, match=r"buy_4d.*one of"):
        survival.check_tasks(("buy_3d", "buy_4d"))


@given(logit_rows)
def test_curve_between_days_meets_the_grid_and_never_rises(logits: np.ndarray) -> None:
    curve = survival.survival(logits)
    on_grid = survival.at_days(np.repeat(curve, 13, 0), GRID)
    assert on_grid == pytest.approx(curve[0], rel=1e-5, abs=1e-29)
    days = np.linspace(-1, 400, 500)
    assert (np.diff(survival.at_days(np.repeat(curve, 500, 0), days)) <= 1e-12).all()


def test_constant_rate_ages_without_memory_even_beyond_the_grid() -> None:
    curve = np.exp(-0.02 * GRID)[None].astype(np.float32)
    for elapsed in (0.0, 0.5, 12.3, 100.0, 500.0):
        silent = survival.conditional(curve, np.array([elapsed]), np.array([30.0]))
        assert silent[0] == pytest.approx(np.exp(-0.6), rel=1e-4)


def test_conditional_is_a_ratio_of_the_curve() -> None:
    curve = survival.survival(np.linspace(0, -3, 13)[None])
    silent = survival.conditional(curve, np.array([15.0 - 1]), np.array([16.0]))
    assert silent[0] == pytest.approx(curve[0, 8] / curve[0, 6], rel=1e-5)
