"""What was learnt of a campaign, and its record on the topic bandits.

Kept is what outcomes said, not how arms are chosen by it: method and floor are the policy's in force, and a change of them
holds at once, for all that was learnt before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from models.bandit.policies import KINDS, Greedy, LinearBandit
from models.bandit.stored import dumped, loaded
from streams.policy import Campaign
from streams.policy.experiment import Experiment

# Prior variances in units of the noise's, as money varies: who buys anyway differs a lot, what an arm adds is far less.
SHARED, OWN = 1.0, 0.01


@dataclass(frozen=True)
class Learnt:
    """offer: digest of what the arms are. margin_share: of the rewards. latest: event time of the newest round, ms.

    bandit: its actions are the arms by name, its posterior what counts.
    """

    campaign: str
    offer: str
    columns: tuple[str, ...]
    margin_share: float
    latest: int
    bandit: LinearBandit

    @classmethod
    def begun(cls, campaign: Campaign, columns: tuple[str, ...]) -> Self:
        """Nothing is known yet. campaign: one with an experiment that learns."""
        experiment = campaign.experiment
        assert experiment is not None
        assert experiment.learning is not None
        bandit = Greedy(arms(experiment), len(columns), own=OWN, shared=SHARED)
        return cls(campaign.id, offer(campaign), columns, experiment.learning.margin_share, 0, bandit)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """From a row of schemas/bandit.avsc. Raises ValueError for one that does not hold together."""
        bandit, columns = loaded(row["state"]), tuple(row["columns"])
        if list(bandit.actions) != list(row["arms"]) or bandit.columns != len(columns):
            raise ValueError(
                f"bandit {row['name']}: its state is of {', '.join(bandit.actions)} in {bandit.columns} columns, the record "
                f"names {', '.join(row['arms'])} in {len(columns)}; delete the record, and it is learnt anew"
            )
        bandit.posterior.root()  # raises ValueError where the sums are of no rounds that there could have been
        return cls(row["campaign"], row["offer"], columns, row["margin_share"], row["latest"], bandit)

    @property
    def rounds(self) -> int:
        """Outcomes learnt."""
        return self.bandit.posterior.rounds

    @property
    def version(self) -> str:
        """First 12 hex digits of the SHA-256 of all that is said here."""
        return hashlib.sha256(json.dumps(self._said(), sort_keys=True).encode()).hexdigest()[:12]

    def _said(self) -> dict[str, Any]:
        return {
            "campaign": self.campaign,
            "arms": list(self.bandit.actions),
            "offer": self.offer,
            "columns": list(self.columns),
            "margin_share": self.margin_share,
            "latest": self.latest,
            "rounds": self.rounds,
            "state": dumped(self.bandit),
        }

    def row(self, policy: str, learnt_at: int, offsets: Sequence[int] = ()) -> dict[str, Any]:
        """As a row of schemas/bandit.avsc. policy: its name; learnt_at: wall clock, ms; offsets: next ones, by partition."""
        known = {"policy": policy, "version": self.version, "learnt_at": learnt_at, "offsets": [*offsets]}
        return {"name": key(policy, self.campaign), **known, **self._said()}

    def chooser(self, experiment: Experiment) -> LinearBandit:
        """The same knowledge, chosen by as the policy says."""
        learning, held = experiment.learning, self.bandit
        assert learning is not None
        made = KINDS[learning.method](
            held.actions, held.columns, epsilon=learning.floor / 100, own=held.own, shared=held.shared
        )
        made.posterior = held.posterior
        return made

    def misfit(self, campaign: Campaign, columns: tuple[str, ...]) -> str:
        """Why it cannot be used for this campaign, whose arms are learnt, and a release with these columns; '' when it can."""
        experiment = campaign.experiment
        assert experiment is not None
        assert experiment.learning is not None
        if self.bandit.actions != arms(experiment) or self.offer != offer(campaign):
            return "what was learnt is of other arms, payloads or attribution_hours"
        share = experiment.learning.margin_share
        if self.margin_share != share:
            return f"what was learnt is of rewards with margin_share {self.margin_share:g}; the policy has {share:g}"
        if self.columns != columns:
            return f"what was learnt is by {', '.join(self.columns)}; the release has {', '.join(columns)}"
        return ""


def key(policy: str, campaign: str) -> str:
    """Of the record."""
    return f"{policy}/{campaign}"


def arms(experiment: Experiment) -> tuple[str, ...]:
    """Names in the order of a bandit's actions, whatever order the policy has them in."""
    return tuple(sorted(arm.name for arm in experiment.arms))


def offer(campaign: Campaign) -> str:
    """First 12 hex digits of the SHA-256 of what the arms are and how long their outcomes count; '' without an experiment."""
    if campaign.experiment is None:
        return ""
    found = []
    for arm in campaign.experiment.arms:
        payload = campaign.in_arm(arm.payload, arm.name).payload.model_dump(
            mode="json", exclude_defaults=True
        )
        found.append([arm.name, None if arm.nothing else payload])
    said = [campaign.kind, campaign.attribution_hours, sorted(found, key=lambda one: str(one[0]))]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]
