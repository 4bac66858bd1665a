"""The plan: every harm, enough kills, and the same for a seed."""

from __future__ import annotations

import random

import pytest

from tests.faults import plan
from tests.faults.harms import DEAR, HARMS


@pytest.mark.parametrize("short", [True, False])
def test_every_harm_is_done_and_in_the_short_form_every_cheap_one_and_a_seed_gives_the_same_plan(short: bool):
    names = plan.mixture(random.Random(7), short)
    assert set(names) == set(HARMS) - (DEAR if short else set())
    assert names == plan.mixture(random.Random(7), short)
    assert names != plan.mixture(random.Random(8), short)


def test_the_full_form_kills_at_least_a_hundred_times_at_random():
    assert plan.mixture(random.Random(1), short=False).count(plan.KILL) >= 100
