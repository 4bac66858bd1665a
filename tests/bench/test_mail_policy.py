"""What is pure in bench/mail_policy.py: a policy that knows who is moved, on a made trial of three arms."""

import numpy as np
import pytest

from bench import mail_policy

ROWS = 6000


def test_the_policy_that_knows_is_ahead_by_what_mails_to_the_unmoved_cost():
    """A mail about men's clothes makes half of the customers visit 40 % more often, the others not; at .2 a mail."""
    rng = np.random.default_rng(0)
    known = np.column_stack([rng.integers(0, 2, ROWS), rng.normal(size=ROWS)]).astype(float)
    names = np.array(mail_policy.ACTIONS)[rng.integers(0, 3, ROWS)]
    moved = 0.4 * known[:, 0] * (names == mail_policy.MENS)
    came = (rng.random(ROWS) < 0.2 + moved).astype(float)
    effects = np.column_stack([np.zeros(ROWS), 0.4 * known[:, 0], np.full(ROWS, -0.1)])
    found = mail_policy.net(known, names, came, [effects, effects], 0.2)
    assert found["share_mens"] == pytest.approx(known[:, 0].mean())
    assert found["share_womens"] == 0
    # What the policy saves: .2 for each of the half that a mail does not move.
    assert found["ahead_pp"] == pytest.approx(10, abs=2.5)
    assert found["least_pp"] < found["ahead_pp"] < found["most_pp"]
    assert found["net_pp"] - found["net_all_mens_pp"] == pytest.approx(found["ahead_pp"])
    assert found["net_nobody_pp"] == pytest.approx(20, abs=3)
