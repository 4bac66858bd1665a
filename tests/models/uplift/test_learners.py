"""Learners of effects find those that are there and none where there is none; they lie in a folder as they were."""

import numpy as np
import pytest

from models.families.boosting import Boosting
from models.families.logistic import Logistic
from models.families.ridge import Ridge
from models.uplift.arms import Arms, load
from models.uplift.baselines import Averaged, Chance, Response
from models.uplift.choice import choose
from models.uplift.learners import DR, S, T, Transformed, X, pseudo_outcomes
from models.uplift.measures import qini
from models.uplift.trial import Trial
from tests.models.uplift.made import trial

TREES = Boosting(trees=60, leaves=6, least_rows=60, held_out=0.0)
EFFECTS = Boosting("l2", trees=60, leaves=4, least_rows=100, held_out=0.0)
LEARNERS = {
    "s": S(TREES),
    "s_logit": S(Logistic(), interactions=True),
    "t": T(Logistic()),
    "t_trees": T(TREES),
    "x": X(Logistic(), Ridge()),
    "x_trees": X(TREES, EFFECTS),
    "dr": DR(Logistic(), Ridge()),
    "dr_trees": DR(TREES, EFFECTS),
    "transformed": Transformed(Ridge()),
    "s_some": S(Logistic(), interactions=(1, 2)),
    "dr_some": DR(Logistic(), Ridge(), columns=(1,)),
    "averaged": Averaged([T(Logistic()), DR(Logistic(), Ridge(), folds=2)]),
}
every = pytest.mark.parametrize("learner", LEARNERS.values(), ids=LEARNERS)


@every
def test_it_finds_whom_the_action_moves_and_by_how_much(learner):
    learnt, _ = trial()
    new, known = trial(seed=1)
    effects = learner.fit(learnt).effect(new.inputs)
    assert np.corrcoef(effects, known)[0, 1] > 0.75
    assert np.abs(effects - known).mean() < 0.08
    assert effects.mean() == pytest.approx(known.mean(), abs=0.04)


@pytest.mark.parametrize("learner", [T(Logistic()), DR(Logistic(), Ridge()), S(TREES)], ids=["t", "dr", "s"])
def test_where_treatment_was_shuffled_there_is_nothing_to_find(learner):
    found = []
    for seed in range(4):
        learnt, _ = trial(4000, seed)
        held, _ = trial(4000, seed + 50)
        rng = np.random.default_rng(seed)
        learnt, held = (
            Trial.of(one.inputs, rng.permutation(one.treated), one.outcomes) for one in (learnt, held)
        )
        found.append(qini(learner.fit(learnt, seed).effect(held.inputs), held.treated, held.outcomes))
    assert abs(np.mean(found)) < 0.04


def test_the_response_model_ranks_buyers_and_chance_nobody():
    learnt, _ = trial()
    new, _ = trial(seed=1)
    response = Response(Logistic()).fit(learnt).effect(new.inputs)
    assert np.corrcoef(response, new.inputs[:, 0])[0, 1] > 0.6
    found = T(Logistic()).fit(learnt).effect(new.inputs)
    mine, theirs, none = (
        qini(one, new.treated, new.outcomes)
        for one in (found, response, Chance().fit(learnt).effect(new.inputs))
    )
    assert mine > theirs + 0.02
    assert abs(none) < 0.05


@every
def test_what_was_exported_tells_the_same_to_the_bit(learner, tmp_path):
    learnt, _ = trial(2000)
    learner.fit(learnt).export(tmp_path / "learner")
    assert np.array_equal(load(tmp_path / "learner").effect(learnt.inputs), learner.effect(learnt.inputs))
    assert not list(tmp_path.rglob("*.pkl"))


def test_pseudo_outcomes_have_the_mean_of_the_effects_in_an_uneven_trial():
    uneven, known = trial(20000, seed=3, share=0.2)
    found = pseudo_outcomes(uneven, Logistic(), 5)
    error = found.std() / np.sqrt(len(found))
    assert abs(found.mean() - known.mean()) < 4 * error


def test_effects_are_told_by_the_columns_given_and_by_no_others():
    learnt, _ = trial(2000)
    other = learnt.inputs.copy()
    other[:, [0, 2]] += 1.0
    found = DR(Logistic(), Ridge(), columns=(1,)).fit(learnt)
    assert np.array_equal(found.effect(other), found.effect(learnt.inputs))
    odds = S(Logistic(), interactions=(1,)).fit(learnt).models["outcome"]
    assert odds._weights.shape == (3 + 1 + 1,)  # columns, arm, the one product
    for learner in (DR(Logistic(), Ridge(), columns=(3,)), S(Logistic(), interactions=(3,))):
        with pytest.raises(ValueError, match=r"columns \[3\]: want places 0 … 2 of the inputs"):
            learner.fit(learnt)


def test_the_choice_is_the_learner_that_the_folds_speak_for():
    learnt, _ = trial()
    found = choose(
        {"chance": Chance(), "response": Response(Logistic()), "t": T(Logistic())}, learnt, folds=3
    )
    assert found.name == "t"
    assert found.qini["t"] == max(found.qini.values())
    with pytest.raises(ValueError, match="learners: none; give one at least"):
        choose({}, learnt)


def test_several_actions_have_a_column_each_and_an_unknown_one_is_named(tmp_path):
    learnt, _ = trial(2000)
    taken = np.where(learnt.treated, np.where(np.arange(2000) % 2, "coupon", "push"), "nothing")
    arms = Arms.fit(T(Logistic()), learnt.inputs, taken, learnt.outcomes, ["coupon", "push"], "nothing")
    arms.export(tmp_path)
    effects = arms.effects(learnt.inputs)
    assert effects.shape == (2000, 2)
    assert np.array_equal(Arms.load(tmp_path).effects(learnt.inputs), effects)
    with pytest.raises(ValueError, match="no row has 'gift'; the rows have 'coupon', 'nothing', 'push'"):
        Arms.fit(T(Logistic()), learnt.inputs, taken, learnt.outcomes, ["gift"], "nothing")


def test_a_trial_that_cannot_be_learnt_from_is_refused_with_the_mend():
    inputs, treated, outcomes = np.ones((4, 1)), np.array([0, 1, 0, 1]), np.array([0.0, 1, 1, 0])
    for field, given, message in (
        ("treated", [0, 2, 0, 1], "treated: 2 is neither 0 nor 1; take one action"),
        ("treated", [1, 1, 1, 1], "treated: all 4 are 1; an effect needs a treated and a control group"),
        ("treated", [0, 1], r"treated of shape \(2,\) for 4 rows: want one 0 or 1 a row"),
        ("outcomes", [0, np.nan, 1, 1], "outcomes: 1 are not finite; leave rows out"),
        ("outcomes", [0, 1], r"outcomes of shape \(2,\) for 4 rows: want one number a row"),
        ("propensity", 1.0, "propensity: 1 is not between 0 and 1; leave rows out"),
        ("propensity", [0.5, 0.5], r"propensity of shape \(2,\) for 4 rows: want a number a row"),
    ):
        rows = {"inputs": inputs, "treated": treated, "outcomes": outcomes, field: np.asarray(given)}
        with pytest.raises(ValueError, match=message):
            Trial.of(**rows)
    with pytest.raises(ValueError, match="base: none; a loaded learner tells effects"):
        T().fit(Trial.of(inputs, treated, outcomes))
