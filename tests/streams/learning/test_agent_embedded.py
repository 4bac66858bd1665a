"""The learner end to end on the embedded broker: from decisions to a record that workers follow, each outcome once."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

from models.ids import decision_id
from schemas.kafka import written
from schemas.settings import Settings
from streams.cli.contents import Contents
from streams.cli.policies import publish
from streams.learning import agent
from streams.learning.agent import Learning, run
from streams.learning.publisher import LearningProblem, Publisher
from streams.learning.state import Learnt
from streams.outcomes import run as join
from streams.side_agents import consumer_config as config
from tests.streams.archiving import outcome as archived
from tests.streams.decide_cases import TASKS
from tests.streams.learning.cases import learning, preferring
from tests.streams.learning.cases import outcome as told
from tests.streams.outcome_site import decided, did, shop, user, write
from tests.streams.site import Site, environment

pytestmark = pytest.mark.embedded
POLICY = learning(margin_share=1.0)
AGENT = """
from schemas.settings import Settings
from streams import agent_metrics
from streams.learning import agent
agent_metrics.POLL_RECORDS = 20
agent.run(Settings.load())
"""


def opened(settings: Settings) -> Site:
    site = shop(settings)
    publish(site.settings, POLICY.to_yaml())
    return site


def outcomes(count: int, first: int = 0) -> list[dict[str, Any]]:
    """Rows of the topic outcomes, shopper by shopper; every tenth is a revision."""
    rng = np.random.default_rng(first)
    return [
        archived(number)
        | told(POLICY, str(rng.choice(["nothing", "two", "five"])), float(rng.integers(20)))
        | {"user_id": user(number % 40), "first_complete": number % 10 > 0}
        for number in range(first, first + count)
    ]


def states(site: Site) -> list[Learnt]:
    """Every record of the topic, oldest first."""
    return [Learnt.of(row) for row in site.read("bandit")]


def test_what_came_of_decisions_is_learnt_once(settings: Settings) -> None:
    site = opened(settings)
    drawn = {"campaign": "winback", "policy_version": POLICY.version, "learned_version": "shares"}
    drawn |= {"scores": dict.fromkeys(TASKS, 0.5), "time_zone": "UTC", "propensity": 0.3}
    rows = [
        decided(number, number, 0, arm=arm, reason=reason, **drawn)
        | {"decision_id": decision_id(f"e{number}", "winback")}
        for number, (arm, reason) in enumerate(
            [("five", "emitted"), ("two", "deferred"), ("nothing", "control"), ("two", "outranked")]
        )
    ]
    write(site.settings, "decision", [*rows, *(decided(90 + n, n, 40, learned_version="") for n in range(4))])
    write(
        site.settings,
        "behavior_event",
        [
            did(1, 0, 1, "purchase", price=20.0),
            did(2, 0, 2, "coupon_redeem", properties={"intervention_id": "i0", "discount": "4"}),
            *(did(90 + shopper, shopper, 40, "page_view") for shopper in range(4)),
        ],
    )
    join(site.settings, until_end=True)
    done = run(site.settings, until_end=True).learner
    assert done.counts == {"learnt": 3, "nothing_drawn": 1}
    (state,) = states(site)
    posterior = state.bandit.posterior
    assert (state.bandit.actions, state.rounds) == (("five", "nothing", "two"), 3)
    assert posterior.moment[:, 0].tolist() == [16.0, 0.0, 0.0]  # 20 less 4 off

    write(site.settings, "behavior_event", [did(3, 0, 3, "purchase", price=5.0)])  # late: told again
    join(site.settings, until_end=True)
    again = run(site.settings, until_end=True).learner
    assert again.counts == {"revised": 1}
    assert again.states["winback"].version == state.version
    assert len(states(site)) == 1


def test_killed_again_and_again_it_learns_each_outcome_once(settings: Settings) -> None:
    site = opened(settings.model_copy(update={"learn_interval_s": 0.05}))
    for turn in range(3):
        write(site.settings, "outcome", outcomes(400, 500 * turn))
        before = sum(state.rounds for state in states(site)[-1:])
        with subprocess.Popen([sys.executable, "-c", AGENT], env=environment(site.settings)) as process:
            site.wait(lambda before=before: states(site)[-1:] and states(site)[-1].rounds > before, "learnt")
            write(site.settings, "outcome", outcomes(100, 500 * turn + 400))  # it is in the middle of these
            time.sleep(0.1 * turn)
            assert process.poll() is None
            process.kill()
    run(site.settings, until_end=True)
    killed = states(site)[-1]

    calm = Learning(site.settings)  # in memory, from the beginning
    calm._follow()
    calm.learner.learn(site.read("outcome"))
    one, other = killed.bandit.posterior, calm.learner.states["winback"].bandit.posterior
    assert (one.rounds, other.rounds) == (1350, 1350)
    np.testing.assert_allclose(one.gram, other.gram, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(one.moment, other.moment, rtol=1e-9, atol=1e-9)


def test_a_transaction_that_fails_leaves_nothing_and_is_learnt_by_the_next(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = opened(settings)
    write(site.settings, "outcome", outcomes(100))
    with monkeypatch.context() as patched:

        def lost(self: Publisher) -> None:
            self._producer.abort_transaction(10)
            raise LearningProblem("aborted")

        patched.setattr(Publisher, "_commit", lost)
        with pytest.raises(LearningProblem, match="aborted"):
            run(site.settings, until_end=True)
    assert states(site) == []
    assert run(site.settings, until_end=True).learner.counts["learnt"] == 90
    assert [state.rounds for state in states(site)] == [90]


def without_group(patched: pytest.MonkeyPatch) -> None:
    """As when the broker has forgotten the offsets of the learner's group."""
    patched.setattr(
        agent, "consumer_config", lambda settings, _, instance: config(settings, "lost", instance)
    )


def test_a_group_whose_offsets_are_lost_learns_nothing_twice(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = opened(settings)
    write(site.settings, "outcome", outcomes(100))
    run(site.settings, until_end=True)
    write(site.settings, "outcome", outcomes(100, 100))
    without_group(monkeypatch)
    assert run(site.settings, until_end=True).learner.counts == {"learnt": 90, "revised": 10}
    assert states(site)[-1].rounds == 180


def test_records_that_do_not_say_how_far_was_read_are_not_learnt_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = opened(settings)
    write(site.settings, "outcome", outcomes(100))
    bandits, row = Contents(site.settings, "bandits"), preferring(POLICY, "five").row(POLICY.name, 7)
    (value,) = bandits.codec.encode_rows([row])
    assert not written(site.settings, bandits.topic, {row["name"].encode(): value}, 30.0)
    without_group(monkeypatch)
    with pytest.raises(LearningProblem, match="delete the records"):
        run(site.settings, until_end=True)


def test_a_second_learner_takes_over_and_the_first_ends(settings: Settings) -> None:
    site = opened(settings.model_copy(update={"learn_interval_s": 0.2}))
    write(site.settings, "outcome", outcomes(100))
    first, ended = Learning(site.settings), list[BaseException]()

    def running() -> None:
        try:
            first.run()
        except LearningProblem as problem:
            ended.append(problem)

    thread = threading.Thread(target=running)
    thread.start()
    site.wait(lambda: bool(states(site)), "what the first has learnt")
    run(site.settings, until_end=True)
    write(site.settings, "outcome", outcomes(100, 100))
    thread.join(60)
    assert [str(problem).partition(":")[0] for problem in ended] == ["another learner has taken over"]
    assert run(site.settings, until_end=True).learner.states["winback"].rounds == 180
