"""Arms that are learnt, in a policy that is evaluated: the chances that each moment would have had."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from streams.compiled import CompiledPolicy
from streams.decide import Decision
from streams.learning.dealing import SHARES
from streams.learning.state import Learnt
from streams.policy import Campaign, Policy


def notes(policy: Policy, learnt: Mapping[str, Learnt], releases: Mapping[str, tuple[str, ...]]) -> list[str]:
    """By what the arms of each campaign that learns are dealt here, in words. releases: the tasks of each."""
    compiled = {name: CompiledPolicy(policy, tasks, None, learnt) for name, tasks in releases.items()}
    found = []
    for campaign in (one for one in policy.campaigns if one.learning is not None):
        of: dict[str, list[str]] = {}
        for name, rules in compiled.items():
            of.setdefault(_how(rules, campaign, learnt.get(campaign.id)), []).append(name)
        for how, names in of.items():
            where = f" under {', '.join(names)}" if len(of) > 1 else ""
            found.append(f"policy {policy.version}: the arms of {campaign.id} are dealt{where} by {how}")
    return found


def _how(rules: CompiledPolicy, campaign: Campaign, state: Learnt | None) -> str:
    if state is None:
        return "its shares: nothing that was learnt is at hand"
    if rules.learnt[campaign.id] != SHARES:
        return f"what was learnt up to now, version {state.version} of {state.rounds:,} outcomes"
    return f"its shares: {rules.misfits.get(campaign.id, f'{state.rounds:,} outcomes are fewer than its least_outcomes')}"


def dealt(
    policy: Policy, campaign: str, learnt: Mapping[str, Learnt]
) -> Callable[[Decision], dict[str, float]]:
    """The chance of each arm of a campaign that learns, in a moment that was decided."""
    compiled: dict[tuple[str, ...], CompiledPolicy] = {}

    def chances(moment: Decision) -> dict[str, float]:
        tasks = tuple(moment.scores)
        if tasks not in compiled:
            compiled[tasks] = CompiledPolicy(policy, tasks, None, learnt)
        return compiled[tasks].chances(campaign, moment.scores, moment.event_time, moment.time_zone)

    return chances
