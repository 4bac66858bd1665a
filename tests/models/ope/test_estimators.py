"""Values of other policies: against a bandit that knows them, and refusal where the log says too little."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.families.logistic import Logistic
from models.ope.estimators import dm, dr, ips, snips, switch_dr
from models.ope.log import Log, TooLittleOverlap, overlap
from models.ope.rewards import Together, cross_fitted
from models.ope.synthetic import Bandit, draw, softmax

ROUNDS, LOGGED, ASKED = 4000, -1.0, 1.5


@pytest.fixture(scope="module")
def known():
    bandit = Bandit(actions=5)
    contexts = bandit.contexts(ROUNDS, 1)
    log = bandit.log(contexts, bandit.softmax(contexts, LOGGED), 2)
    return bandit, log, bandit.softmax(contexts, ASKED), cross_fitted(contexts, log, Logistic(), folds=3)


@pytest.mark.parametrize("name", ["ips", "snips", "dr", "switch"])
def test_the_known_value_is_within_four_errors(known, name):
    bandit, log, target, q = known
    found = {
        "ips": lambda: ips(log, target),
        "snips": lambda: snips(log, target),
        "dr": lambda: dr(log, target, q),
        "switch": lambda: switch_dr(log, target, q, 20.0),
    }[name]()
    assert abs(found.value - bandit.value(ASKED)) < 4 * found.error
    assert found.low < found.value < found.high
    assert found.terms.mean() == pytest.approx(found.value)


def test_one_model_for_all_actions_serves_the_doubly_robust_as_well(known):
    bandit, log, target, _ = known
    contexts = bandit.contexts(ROUNDS, 1)
    q = cross_fitted(contexts, log, Logistic(), folds=3, apart=False)
    assert q.shape == (ROUNDS, 5)
    # The best action of all is the best for such a model, too, and its column moves what it expects.
    assert q.mean(axis=0).argmax() == bandit.expected(contexts).mean(axis=0).argmax()
    found = dr(log, target, q)
    assert abs(found.value - bandit.value(ASKED)) < 4 * found.error
    assert found.error < ips(log, target).error
    with pytest.raises(ValueError, match="nothing learnt"):
        Together(Logistic()).predict(contexts)


def test_a_bandit_whose_actions_are_alike_has_only_weights_of_0_to_1_and_no_products():
    bandit = Bandit(actions=4, dim=2, alike=True)
    first, second = (np.full((1, 2), at) for at in (0.0, 30.0))
    assert (bandit.expected(first) >= 0.5).all()
    assert (bandit.expected(first) < 1 / (1 + np.exp(-1))).all()
    assert (bandit.expected(second) > 0.99).any()
    assert (bandit.expected(-second) < 0.01).any()


def test_the_doubly_robust_interval_is_the_shorter(known):
    _, log, target, q = known
    assert dr(log, target, q).error < ips(log, target).error


def test_the_logging_policy_is_worth_what_it_earned(known):
    bandit, log, *_ = known
    logged = bandit.softmax(bandit.contexts(ROUNDS, 1), LOGGED)
    assert ips(log, logged).value == pytest.approx(log.rewards.mean())
    assert ips(log, logged).overlap.ess == pytest.approx(ROUNDS)


def test_switching_is_between_the_model_and_the_doubly_robust(known):
    _, log, target, q = known
    assert switch_dr(log, target, q, np.inf).value == dr(log, target, q).value
    assert switch_dr(log, target, q, 0.0).value == pytest.approx(dm(log, target, q).value)


def test_a_difference_on_the_same_log_is_paired(known):
    _, log, target, q = known
    near = 0.95 * target + 0.05 / log.count
    one, other = dr(log, target, q), dr(log, near, q)
    assert one.minus(other).value == pytest.approx(one.value - other.value)
    assert one.minus(other).error < one.error / 3


def test_too_little_overlap_is_refused_with_the_mend():
    log = Log.of(np.zeros(50), np.ones(50), np.full(50, 0.5), 2)
    with pytest.raises(TooLittleOverlap, match=r"effective sample size 50\.0 of 50 rounds.*want 100"):
        ips(log, np.tile([1.0, 0.0], (50, 1)))
    assert ips(log, np.tile([1.0, 0.0], (50, 1)), least_ess=50).value == 2.0
    with pytest.raises(TooLittleOverlap, match=r"effective sample size 0\.0"):
        snips(log, np.tile([0.0, 1.0], (50, 1)), least_ess=1)


def test_clipping_bounds_the_weights():
    log = Log.of([0, 1], [1, 1], [0.01, 0.99], 2)
    assert ips(log, np.full((2, 2), 0.5), clip=2.0, least_ess=1).value == pytest.approx((2 + 0.5 / 0.99) / 2)


@given(st.integers(0, 10_000), st.integers(2, 8))
def test_weights_are_no_less_than_0_and_ess_no_more_than_rounds(seed, actions):
    rng = np.random.default_rng(seed)
    logged, target = (softmax(rng.normal(size=(30, actions))) for _ in range(2))
    drawn = draw(logged, rng)
    log = Log.of(drawn, rng.random(30), logged[np.arange(30), drawn], actions)
    weights = log.weights(target)
    assert (weights >= 0).all()
    assert 1 - 1e-9 <= overlap(weights).ess <= 30 + 1e-9
    order = rng.permutation(30)
    again = Log.of(drawn[order], log.rewards[order], log.propensities[order], actions)
    assert ips(again, target[order], least_ess=1).value == pytest.approx(ips(log, target, least_ess=1).value)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"actions": [0, 5]}, "actions: 5 is none of 0 … 1"),
        ({"rewards": [0, np.nan]}, "rewards: 1 are not finite"),
        ({"propensities": [0.5, 0.0]}, "propensities: 0 is not above 0"),
        ({"rewards": [0.0]}, "of shapes"),
    ],
)
def test_a_log_that_cannot_be_is_refused(changed, said):
    with pytest.raises(ValueError, match=said):
        Log.of(**{"actions": [0, 1], "rewards": [0, 1], "propensities": [0.5, 0.5], "count": 2, **changed})


def test_a_target_that_is_no_policy_is_refused():
    log = Log.of([0, 1], [0, 1], [0.5, 0.5], 2)
    for target, said in (
        ([[0.5, 0.6], [0.5, 0.5]], "round 0 sum to 1.1"),
        ([[1.5, -0.5], [0.5, 0.5]], "-0.5 is no chance"),
        ([[1.0], [1.0]], "target of shape"),
    ):
        with pytest.raises(ValueError, match=said):
            ips(log, np.array(target), least_ess=1)
