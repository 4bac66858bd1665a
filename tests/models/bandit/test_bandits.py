"""Bandits: probabilities that are what they say, feedback in any order, and learning which action pays."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.bandit.policies import KINDS, Greedy, LinUCB, Thompson, Uniform
from models.bandit.stored import dumped, loaded

ACTIONS = ("nothing", "coupon_5", "coupon_10", "push", "re_rank")
WEIGHTS = np.random.default_rng(5).normal(size=(len(ACTIONS), 4))  # of constant and context, per action


def rounds(bandit, count, seed):
    """Rounds as `bandit` plays them: context, action, reward, propensity, time in days."""
    rng = np.random.default_rng(seed)
    context = rng.normal(size=(count, 3))
    action, propensity = bandit.choose(context, rng.random(count))
    reward = (np.hstack([np.ones((count, 1)), context]) * WEIGHTS[action]).sum(axis=1) + rng.normal(
        size=count
    )
    return context, action, reward, propensity, rng.uniform(0, 10, count)


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 10_000), epsilon=st.floats(0, 1), learnt=st.booleans())
@settings(max_examples=20)
def test_probabilities_sum_to_one_and_every_eligible_action_has_the_floor(kind, seed, epsilon, learnt):
    bandit = KINDS[kind](ACTIONS, 3, epsilon)
    if learnt:
        bandit.learn(*rounds(Uniform(ACTIONS, 3), 200, seed))
    rng = np.random.default_rng(seed)
    eligible = rng.random((30, len(ACTIONS))) < 0.5
    eligible[:, 0] |= ~eligible.any(axis=1)
    context = rng.normal(size=(30, 3))
    found = bandit.probabilities(context, eligible, rng.random(len(ACTIONS)))
    assert found.sum(axis=1) == pytest.approx(np.ones(30))
    assert (found[~eligible] == 0).all()
    floor = epsilon / eligible.sum(axis=1, keepdims=True)
    assert (found >= np.where(eligible, floor, 0.0) - 1e-12).all()
    action, propensity = bandit.choose(context, rng.random(30), eligible)
    assert eligible[np.arange(30), action].all()
    assert (propensity > 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_propensity_is_how_often_the_action_is_drawn(kind):
    bandit = KINDS[kind](ACTIONS, 3)
    bandit.learn(*rounds(Uniform(ACTIONS, 3), 60, 1))
    context = np.full((1, 3), 0.3)
    wanted = bandit.probabilities(context)[0]
    action, propensity = bandit.choose(np.repeat(context, 40_000, 0), (np.arange(40_000) + 0.5) / 40_000)
    assert np.bincount(action, minlength=len(ACTIONS)) / 40_000 == pytest.approx(wanted, abs=1e-4)
    assert propensity == pytest.approx(wanted[action])


@given(
    seed=st.integers(0, 10_000),
    cuts=st.lists(st.integers(0, 80), max_size=6),
    discount=st.sampled_from([1.0, 0.9, 0.5]),
    balance=st.sampled_from([None, 3.0]),
)
@settings(max_examples=40)
def test_feedback_in_any_order_and_batches_gives_the_same_posterior(seed, cuts, discount, balance):
    told = rounds(Uniform(ACTIONS, 3), 80, seed)
    whole, parted = (Thompson(ACTIONS, 3, shared=2.0, discount=discount, balance=balance) for _ in range(2))
    whole.learn(*told)
    order = np.random.default_rng(seed).permutation(80)
    for some in np.split(order, sorted(cuts)):
        parted.learn(*(one[some] for one in told))
    assert parted.posterior.mean() == pytest.approx(whole.posterior.mean(), rel=1e-7, abs=1e-9)
    assert parted.posterior.variance() == pytest.approx(whole.posterior.variance())
    assert parted.posterior.rounds == 80
    context = told[0][:10]
    assert parted.probabilities(context) == pytest.approx(whole.probabilities(context), abs=2 / 256)


def test_the_posterior_is_that_of_regression_on_all_rounds():
    context, action, reward, propensity, _ = rounds(Uniform(ACTIONS, 3), 300, 2)
    bandit = Greedy(ACTIONS, 3, own=0.5, shared=4.0)
    bandit.learn(context, action, reward, propensity)
    rows = np.zeros((300, 4 * len(ACTIONS)))
    for row, place in enumerate(action):
        rows[row, 4 * place : 4 * place + 4] = [1.0, *context[row]]
    prior = np.kron(0.5 * np.eye(len(ACTIONS)) + 4.0, np.eye(4))
    covariance = np.linalg.inv(np.linalg.inv(prior) + rows.T @ rows)
    assert bandit.posterior.mean().ravel() == pytest.approx(covariance @ rows.T @ reward)
    ahead = np.hstack([np.ones((300, 1)), context])
    spread = bandit.posterior.variance() * covariance[4:8, 4:8]
    assert bandit.posterior.deviations(ahead)[:, 1] ** 2 == pytest.approx(
        ((ahead @ spread) * ahead).sum(axis=1)
    )
    drawn = bandit.posterior.draws(20_000, np.random.default_rng(0)).reshape(20_000, -1)
    assert np.cov(drawn.T) == pytest.approx(bandit.posterior.variance() * covariance, abs=0.01)


def test_noise_is_learnt_from_residuals_whatever_was_guessed():
    for guess in (0.01, 50.0):
        bandit = Greedy(ACTIONS, 3, noise=guess, own=10.0)
        bandit.learn(*rounds(Uniform(ACTIONS, 3), 20_000, 3))
        assert math.sqrt(bandit.posterior.variance()) == pytest.approx(1.0, abs=0.7 if guess > 1 else 0.02)


def test_two_eligible_actions_have_the_exact_probability_and_many_that_of_draws():
    bandit = Thompson(ACTIONS, 3, epsilon=0.0, draws=20_000)
    bandit.learn(*rounds(Uniform(ACTIONS, 3), 30, 4))
    context = np.random.default_rng(0).normal(size=(20, 3))
    pair = np.array([True, False, True, False, False])
    exact = bandit.probabilities(context, pair)
    # A third action that is too dear to be the best leaves the two as they are, but makes draws of it.
    dear = np.array([0.0, 1e6, 0.0, 0.0, 0.0])
    by_draws = bandit.probabilities(context, pair | (dear > 0), dear)
    assert by_draws == pytest.approx(exact, abs=0.02)
    assert ((exact[:, 2] > 0.1) & (exact[:, 2] < 0.9)).sum() > 3  # not all are plain


def test_a_penalty_turns_choices_to_what_costs_less():
    bandit = Thompson(ACTIONS, 3)
    bandit.learn(*rounds(Uniform(ACTIONS, 3), 200, 5))
    context = np.random.default_rng(0).normal(size=(50, 3))
    found = [
        bandit.probabilities(context, penalty=np.array([0, dear, dear, dear, dear])) for dear in (0, 1, 100)
    ]
    nothing = [one[:, 0].mean() for one in found]
    assert nothing[0] < nothing[1] < nothing[2] == pytest.approx(1 - 0.05 * 4 / 5)


@pytest.mark.parametrize(
    ("bandit", "share"), [(Thompson, 0.85), (LinUCB, 0.85), (Greedy, 0.7), (Uniform, 0.0)]
)
def test_it_learns_what_pays_and_uniform_does_not(bandit, share):
    """share: of what the best actions earn over uniform ones, in the last of 20 batches, of which each is learnt a batch late."""
    made, late = bandit(ACTIONS, 3), None
    for seed in range(20):
        told = rounds(made, 100, seed)
        if late is not None:
            made.learn(*late)
        late = told
    context = np.random.default_rng(99).normal(size=(4000, 3))
    worth = np.hstack([np.ones((4000, 1)), context]) @ WEIGHTS.T
    earned = (made.probabilities(context) * worth).sum(axis=1).mean()
    evenly, most = worth.mean(), worth.max(axis=1).mean()
    assert (earned - evenly) / (most - evenly) >= share - 1e-9


def test_with_a_discount_it_follows_what_has_changed():
    rng = np.random.default_rng(0)
    made = {discount: Greedy(("nothing", "push"), 0, discount=discount) for discount in (1.0, 0.7)}
    for day in range(40):
        action = rng.integers(0, 2, 100)
        gain = 1.0 if day < 30 else -1.0
        reward = gain * action + rng.normal(size=100)
        for one in made.values():
            one.learn(np.empty((100, 0)), action, reward, np.full(100, 0.5), np.full(100, float(day)))
    push = {discount: one.posterior.mean()[1, 0] for discount, one in made.items()}
    assert push[0.7] < -0.7
    assert push[1.0] > 0


def test_a_discount_needs_the_time_of_rounds():
    with pytest.raises(ValueError, match="tell when each round was played"):
        Thompson(ACTIONS, 3, discount=0.9).learn(*rounds(Uniform(ACTIONS, 3), 5, 0)[:4])


def test_sharing_what_is_common_learns_small_effects_from_fewer_rounds():
    """Everybody differs in what they would buy anyway, hardly in what an action changes."""
    rng = np.random.default_rng(1)
    errors = {0.0: [], 10.0: []}
    for _ in range(20):
        context, action = rng.normal(size=(60, 6)), rng.integers(0, 3, 60)
        reward = context @ np.full(6, 2.0) + 0.1 * action + rng.normal(size=60)
        for shared, found in errors.items():
            made = Greedy(ACTIONS[:3], 6, own=0.1 if shared else 10.0, shared=shared)
            made.learn(context, action, reward, np.full(60, 1 / 3))
            mean = made.posterior.mean()
            effect = (mean[2] - mean[0])[1:]
            found.append((effect**2).sum())
    assert np.mean(errors[10.0]) < np.mean(errors[0.0]) / 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("discount", [1.0, 0.8])
def test_a_stored_bandit_chooses_and_learns_alike(kind, discount):
    bandit = KINDS[kind](ACTIONS, 3, discount=discount, shared=1.0, balance=4.0)
    bandit.learn(*rounds(Uniform(ACTIONS, 3), 50, 6))
    again = loaded(dumped(bandit))
    for one in (bandit, again):
        one.learn(*rounds(Uniform(ACTIONS, 3), 50, 7))
    context = np.random.default_rng(0).normal(size=(20, 3))
    assert (again.probabilities(context) == bandit.probabilities(context)).all()
    assert dumped(again) == dumped(bandit)


def test_what_is_no_stored_bandit_is_refused():
    text = dumped(Greedy(ACTIONS, 3))
    for wrong in (
        "",
        "{}",
        text.replace('"greedy"', '"other"'),
        text.replace('"columns": 3', '"columns": 4'),
    ):
        with pytest.raises(ValueError, match="no bandit"):
            loaded(wrong)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"context": [[0, np.nan, 0]]}, "column 1 holds NaN"),
        ({"context": [[0.0, 0.0]]}, "inputs have 2 columns"),
        ({"eligible": np.zeros(5, bool)}, "row 0 has no action"),
        ({"eligible": np.ones(4, bool)}, r"want bool \(1, 5\) or \(5,\)"),
        ({"penalty": [np.inf, 0, 0, 0, 0]}, "want finite numbers"),
        ({"uniform": [1.0]}, "uniform of shape"),
    ],
)
def test_what_cannot_be_chosen_from_is_refused(given, said):
    with pytest.raises(ValueError, match=said):
        Thompson(ACTIONS, 3).choose(**{"context": [[0.0, 0.0, 0.0]], "uniform": [0.5], **given})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"action": [5]}, "action: want places 0 … 4 of nothing"),
        ({"reward": [np.nan]}, "reward of shape"),
        ({"propensity": [0.0]}, "propensity: want above 0"),
        ({"propensity": [0.5, 0.5]}, "propensity of shape"),
    ],
)
def test_feedback_that_cannot_be_is_refused_and_changes_nothing(given, said):
    bandit = Thompson(ACTIONS, 3)
    told = {"context": [[0.0, 0.0, 0.0]], "action": [1], "reward": [1.0], "propensity": [0.5]}
    with pytest.raises(ValueError, match=said):
        bandit.learn(**{**told, **given})
    assert bandit.posterior.rounds == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"actions": ("push",)}, "want two or more"),
        ({"actions": ("push", "push")}, "each named once"),
        ({"epsilon": 1.5}, "epsilon 1.5"),
        ({"own": 0.0}, "own 0"),
        ({"discount": 0.0}, "discount 0"),
        ({"draws": 0}, "draws 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(given, said):
    with pytest.raises(ValueError, match=said):
        Thompson(**{"actions": ACTIONS, "columns": 3, **given})
