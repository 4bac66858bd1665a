"""Draws the arm of a moment for campaigns whose arms are learnt; what is told as its propensity is what it was drawn with.

The draw is a hash of the experiment's salt and the event, so that a redo and a replay draw alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from models.bandit.ready import Ready
from streams.learning.context import columns, context
from streams.learning.state import Learnt, arms
from streams.policy import Campaign

SHARES = "shares"  # as learned_version: nothing that was learnt was used, the policy's shares were


class Drawn(NamedTuple):
    """An arm, the probability it was drawn with, and the version of what was learnt, or SHARES."""

    arm: str
    propensity: float
    learned_version: str


class Dealer:
    """Of one campaign. learnt: None for nothing. `misfit`: why it is not used, '' when it is or there is none. `version`: of
    what arms are drawn by, or SHARES."""

    def __init__(self, campaign: Campaign, learnt: Learnt | None, tasks: tuple[str, ...]) -> None:
        experiment = campaign.experiment
        assert experiment is not None
        assert experiment.learning is not None
        self._salt, self._arms, self._tasks = experiment.salt, arms(experiment), frozenset(tasks)
        shares = {arm.name: arm.share / 100 for arm in experiment.arms}
        self._shares = [shares[name] for name in self._arms]
        self._ready, self.version = None, SHARES
        self.misfit = "" if learnt is None else learnt.misfit(campaign, columns(tasks))
        if learnt is not None and not self.misfit and learnt.rounds >= experiment.learning.least_outcomes:
            self._ready, self.version = Ready(learnt.chooser(experiment)), learnt.version

    def chances(self, scores: Mapping[str, float], time: int, zone: str) -> dict[str, float]:
        """Of each arm, in a moment with these scores; see `context`."""
        return self._chances(scores, time, zone)[0]

    def draw(self, fraction: float, scores: Mapping[str, float], time: int, zone: str) -> Drawn:
        """fraction: 0 ≤ f < 1, of the event."""
        chances, version = self._chances(scores, time, zone)
        last = Drawn("", 0.0, "")
        for arm, chance in chances.items():
            if chance > 0.0:
                last = Drawn(arm, chance, version)
                fraction -= chance
                if fraction < 0:
                    break
        return last  # the last one that can be drawn, where the chances sum to a hair less than 1

    def _chances(self, scores: Mapping[str, float], time: int, zone: str) -> tuple[dict[str, float], str]:
        """And by which version. A pause that was begun under another release has other scores."""
        found, version = self._shares, SHARES
        if self._ready is not None and scores.keys() == self._tasks:
            found, version = self._ready.chances(context(scores, time, zone)), self.version
        return dict(zip(self._arms, found, strict=True)), version

    def seed(self, event_id: str) -> str:
        """What is hashed for the draw of an event."""
        return f"arm:{self._salt}:{event_id}"
