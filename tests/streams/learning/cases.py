"""What the tests of learnt arms share: a policy whose coupon learns, outcomes of it, and states that prefer an arm."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from streams.compiled import CompiledPolicy
from streams.learning.context import columns, context
from streams.learning.learner import Learner
from streams.learning.policies import Policies
from streams.learning.state import Learnt
from streams.policy import Campaign, Policy
from tests.streams.decide_cases import NOON, TASKS, document

ARMS = [
    {"name": "nothing", "share": 50, "nothing": True},
    {"name": "two", "share": 30},
    {"name": "five", "share": 20, "payload": {"value": 5.0}},
]
LEARNING = {"floor": 6, "margin_share": 0.5, "least_outcomes": 10}


def learning(
    arms: list[dict[str, Any]] | None = None, campaign: int = 0, share: float = 0.0, **changes: Any
) -> Policy:
    """A policy of one campaign of DOCUMENT, whose arms are learnt; share: held out. changes: of `learning`."""
    source = document(holdout={"salt": "s", "share": share}, frequency_caps=[])
    chosen = source["campaigns"][campaign] | {"cooldown_hours": 0.001, "attribution_hours": 0.001}
    chosen["experiment"] = {"salt": "x", "arms": arms or ARMS, "learning": LEARNING | changes}
    return Policy.model_validate(source | {"campaigns": [chosen]})


def campaign_of(policy: Policy) -> Campaign:
    return policy.campaigns[0]


def policies(*versions: Policy) -> Policies:
    """All of them published, the last in force."""
    found, rows = Policies(), [one.row(at) for at, one in enumerate(versions)]
    found.follow(rows, rows[-1])
    return found


def learner(*versions: Policy, states: Iterable[Learnt] = ()) -> Learner:
    return Learner(policies(*versions), states)


def outcome(policy: Policy, arm: str, revenue: float = 0.0, **changes: Any) -> dict[str, Any]:
    """An outcome of a decision of the policy, as far as it is learnt from."""
    row = {
        "campaign": campaign_of(policy).id,
        "policy_version": policy.version,
        "arm": arm,
        "event_time": NOON,
        "time_zone": "UTC",
        "scores": dict.fromkeys(TASKS, 0.5),
        "propensity": 0.3,
        "complete": True,
        "first_complete": True,
        "revenue": revenue,
        "returned": 0.0,
        "margin": None,
        "coupon_cost": 0.0,
        "contact_cost": 0.0,
    }
    return row | changes


def preferring(policy: Policy, arm: str, rounds: int = 600, tasks: tuple[str, ...] = TASKS) -> Learnt:
    """A state of the policy's campaign after rounds in which the arm brought 10 more than any other."""
    state, rng = Learnt.begun(campaign_of(policy), columns(tasks)), np.random.default_rng(0)
    names = state.bandit.actions
    rows = [context(dict.fromkeys(tasks, one), NOON, "UTC") for one in rng.uniform(0.05, 0.9, rounds)]
    action = rng.integers(len(names), size=rounds)
    reward = 10.0 * (action == names.index(arm)) + rng.normal(size=rounds)
    state.bandit.learn(np.array(rows), action, reward, np.full(rounds, 1 / len(names)))
    return state


def compiled(policy: Policy, *states: Learnt, tasks: Iterable[str] = TASKS) -> CompiledPolicy:
    return CompiledPolicy(policy, tuple(tasks), None, {state.campaign: state for state in states})
