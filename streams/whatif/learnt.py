"""Arms that are learnt, in a policy that is evaluated: the chances that each moment would have had."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from streams.compiled import CompiledPolicy
from streams.decide import Decision
from streams.learning.state import Learnt
from streams.policy import Campaign, Policy


def learns(campaign: Campaign) -> bool:
    """Whether its arms are learnt."""
    return campaign.experiment is not None and campaign.experiment.learning is not None


def notes(policy: Policy, learnt: Mapping[str, Learnt]) -> list[str]:
    """By what the arms of each campaign that learns are dealt here, in words."""
    found = []
    for campaign in policy.campaigns:
        if not learns(campaign):
            continue
        state = learnt.get(campaign.id)
        if state is None:
            how = "its shares: nothing that was learnt is at hand"
        else:
            why = state.misfit(campaign, state.columns)
            how = f"what was learnt up to now, version {state.version} of {state.rounds:,} outcomes"
            how = f"its shares: {why}" if why else how
        found.append(f"policy {policy.version}: the arms of {campaign.id} are dealt by {how}")
    return found


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
