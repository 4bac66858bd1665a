"""What is learnt from outcomes, what is not, and that it finds the arm that is better in each moment."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from schemas.codec import Codec
from schemas.registry import FileRegistry
from streams.learning.context import columns, context
from streams.learning.dealing import SHARES, Dealer
from streams.learning.learner import Learner, rewards
from streams.learning.state import Learnt
from streams.policy import Policy
from tests.streams.decide_cases import NOON, TASKS
from tests.streams.learning.cases import ARMS, campaign_of, learner, learning, outcome, policies, preferring

HOUR = 3_600_000


def test_a_reward_is_margin_after_coupons_and_contacts() -> None:
    policy = learning()
    costs = {"returned": 4.0, "coupon_cost": 3.0, "contact_cost": 0.5}
    rows = [outcome(policy, "two", 20.0, **costs), outcome(policy, "two", 20.0, margin=6.0, **costs)]
    assert rewards(rows, 0.5).tolist() == [10.0 - 2.0 - 3.5, 6.0 - 2.0 - 3.5]


def test_each_decision_is_learnt_once_and_what_is_not_learnt_is_counted() -> None:
    policy, other = learning(), learning([*ARMS[:2], {"name": "five", "share": 20}])
    found = learner(other, policy)
    found.learn(
        [
            outcome(policy, "two"),
            outcome(policy, "two", first_complete=False),
            outcome(policy, "two", complete=False, first_complete=False),
            outcome(policy, "two", scores={}),
            outcome(policy, "two", campaign="other"),
            outcome(policy, "two", policy_version="never"),
            outcome(other, "two"),
            outcome(policy, "unheard-of"),
            outcome(policy, "two", propensity=0.0),
            outcome(policy, "two", time_zone="Nowhere"),
            outcome(policy, "nothing", scores=dict.fromkeys(TASKS, float("nan"))),
        ]
    )
    assert found.counts == {
        "learnt": 1,
        "revised": 1,
        "open": 1,
        "nothing_drawn": 1,
        "not_learning": 1,
        "unknown_policy": 1,
        "other_arms": 2,
        "broken": 3,
    }
    (state,) = found.changed()
    assert state.rounds == 1
    assert found.changed() == []


@pytest.mark.parametrize("name", ["revenue", "returned", "margin", "coupon_cost", "contact_cost"])
@pytest.mark.parametrize("absurd", [1e200, -1.1e9, float("inf"), float("nan")])
def test_an_absurd_sum_is_not_learnt_and_what_is_can_be_published(name: str, absurd: float) -> None:
    policy = learning()
    found = learner(policy)
    found.learn([outcome(policy, "two", 20.0), outcome(policy, "five") | {name: absurd}])
    assert found.counts == {"learnt": 1, "broken": 1}
    (state,) = found.changed()
    assert Learnt.of(state.row("default", 7)).bandit.posterior.square == 100.0


def test_batches_make_no_difference() -> None:
    policy, rng = learning(), np.random.default_rng(1)
    rows = [
        outcome(policy, str(rng.choice(["nothing", "two", "five"])), float(rng.normal(10, 3)))
        for _ in range(50)
    ]
    whole, parted = learner(policy), learner(policy)
    whole.learn(rows)
    for row in rows:
        parted.learn([row])
    one, other = (found.states["winback"].bandit.posterior for found in (whole, parted))
    np.testing.assert_allclose(one.mean(), other.mean(), rtol=1e-9, atol=1e-12)
    assert (one.rounds, other.rounds) == (50, 50)


@pytest.mark.parametrize(
    "after",
    [
        learning([*ARMS[:2], {"name": "five", "share": 20, "payload": {"value": 6.0}}]),
        learning(margin_share=0.3),
    ],
)
def test_other_arms_or_rewards_are_learnt_anew(after: Policy, caplog: Any) -> None:
    found = learner(learning(), after, states=[preferring(learning(), "five")])
    found.learn([outcome(after, "two")])
    assert found.states["winback"].rounds == 1
    assert "600 outcomes are forgotten" in caplog.text


def test_a_release_with_other_scores_is_learnt_anew_once_a_day_after_the_last_decision_by_the_one_before() -> (
    None
):
    policy, more = learning(), {"scores": dict.fromkeys((*TASKS, "buy_1d"), 0.5)}
    rows = [outcome(policy, "two", event_time=NOON + at * HOUR) for at in range(5)]
    rows += [outcome(policy, "two", event_time=NOON + at * HOUR, **more) for at in range(5, 60)]
    # Pauses begun before the release ring days after it, newer than all there is.
    rows[20:20] = [outcome(policy, "two", event_time=NOON + 20 * HOUR)]
    rows += [outcome(policy, "five", event_time=NOON + 61 * HOUR)]
    rows += [outcome(policy, "five", event_time=NOON + 30 * HOUR, **more)]
    whole, parted = learner(policy), learner(policy)
    whole.learn(rows)
    for row in rows:
        parted.learn([row])
    for found in (whole, parted):
        state = found.states["winback"]
        assert (state.rounds, state.columns) == (60 - 45 + 1, columns((*TASKS, "buy_1d")))
        assert found.counts == {"learnt": 6 + 16, "other_scores": 40 + 1}


def test_a_release_that_is_taken_back_is_learnt_by_again() -> None:
    policy, more = learning(), {"scores": dict.fromkeys((*TASKS, "buy_1d"), 0.5)}
    found = learner(policy)
    found.learn([outcome(policy, "two", event_time=NOON + at * HOUR, **more) for at in range(5)])
    found.learn([outcome(policy, "two", event_time=NOON + at * HOUR) for at in range(5, 40)])
    assert (found.states["winback"].rounds, found.states["winback"].columns) == (40 - 29, columns(TASKS))


def test_a_state_is_the_same_after_its_record() -> None:
    policy, codec = learning(), Codec(FileRegistry(), "bandit")
    state = preferring(policy, "five")
    row = state.row("default", 7)
    (read,) = codec.decode_rows(codec.encode_rows([row]))
    assert read == row
    assert Learnt.of(read).version == state.version
    assert read["name"] == "default/winback"
    moment = dict.fromkeys(TASKS, 0.3), NOON, "Asia/Tokyo"
    one, other = (
        Dealer(campaign_of(policy), known, TASKS).chances(*moment) for known in (state, Learnt.of(read))
    )
    assert one == other
    with pytest.raises(ValueError, match="delete the record"):
        Learnt.of({**read, "arms": ["a", "b"]})
    state.bandit.posterior.gram -= 1e6 * np.eye(7)
    with pytest.raises(ValueError, match="positive definite"):
        Learnt.of(state.row("default", 7))


def test_another_method_or_floor_holds_at_once_for_what_was_learnt_before() -> None:
    state, moment = preferring(learning(), "five"), (dict.fromkeys(TASKS, 0.3), NOON, "UTC")
    greedy = Dealer(campaign_of(learning(method="greedy", floor=30)), state, TASKS).chances(*moment)
    assert greedy == pytest.approx({"five": 0.8, "nothing": 0.1, "two": 0.1})


def test_a_policy_that_cannot_be_read_leaves_the_last_good_one() -> None:
    found = policies(learning())
    bad = {"version": "bad", "document": "name: 7"}
    found.follow([bad], bad)
    assert found.in_force == learning()
    assert found.offered("bad", "winback") is None


@pytest.mark.parametrize("method", ["thompson", "linucb", "greedy"])
def test_it_comes_to_prefer_the_arm_that_is_better_in_each_moment(method: str) -> None:
    """Five pays with shoppers who would hardly come back, nothing with those who do: what is drawn is what is learnt from."""
    policy, rng = (
        learning(method=method, floor=10, least_outcomes=200, margin_share=1.0),
        np.random.default_rng(3),
    )
    campaign, found = campaign_of(policy), Learner(policies(policy))

    def gain(arm: str, score: float) -> float:
        return {"nothing": 0.0, "two": 0.0, "five": 6.0 * (0.5 - score)}[arm]

    for _ in range(40):  # a day: what was learnt the day before is drawn by
        dealer = Dealer(campaign, found.states.get(campaign.id), TASKS)
        rows = []
        for _ in range(100):
            score = float(np.float32(rng.uniform(0.05, 0.95)))
            scores = dict.fromkeys(TASKS, score)
            drawn = dealer.draw(float(rng.random()), scores, NOON, "UTC")
            came = 12.0 * score + gain(drawn.arm, score) + float(rng.normal(0, 4))
            rows.append(outcome(policy, drawn.arm, came, propensity=drawn.propensity, scores=scores))
        found.learn(rows)
    last = Dealer(campaign, found.states[campaign.id], TASKS)
    low, high = (last.chances(dict.fromkeys(TASKS, score), NOON, "UTC") for score in (0.1, 0.9))
    assert low["five"] > 0.8
    assert high["five"] < 0.15
    assert last.draw(0.5, dict.fromkeys(TASKS, 0.1), NOON, "UTC").learned_version != SHARES


def test_the_context_is_of_what_a_decision_logs() -> None:
    found = context({"lapse_30d": 0.5, "buy_3d": 0.0}, NOON, "Asia/Tokyo")  # 21:00 there
    assert columns(["lapse_30d", "buy_3d"]) == ("logit buy_3d", "logit lapse_30d", "hour sin", "hour cos")
    assert found == pytest.approx([(np.log(1e-4 / (1 - 1e-4)) + 1.5) / 1.25, 1.2, -(0.5**0.5), 0.5**0.5])
