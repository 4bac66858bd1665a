"""What is said of arms that are learnt in a policy that is evaluated."""

from __future__ import annotations

from streams.whatif.learnt import notes
from tests.streams.decide_cases import TASKS
from tests.streams.learning.cases import learning, preferring


def test_a_release_that_what_was_learnt_does_not_fit_is_told_apart() -> None:
    policy = learning()
    states = {"winback": preferring(policy, "five")}
    of = f"policy {policy.version}: the arms of winback are dealt"
    (one,) = notes(policy, states, {"a": TASKS, "b": TASKS})
    assert one.startswith(f"{of} by what was learnt up to now")
    fits, other = notes(policy, states, {"a": TASKS, "b": (*TASKS, "buy_1d"), "c": TASKS})
    assert fits.startswith(f"{of} under a, c by what was learnt up to now, version")
    assert other.startswith(f"{of} under b by its shares: what was learnt is by")
