"""The whole policy: what holds for all campaigns, and the campaigns."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import yaml
from pydantic import Field, field_validator

from streams.policy.campaign import Campaign
from streams.policy.section import Section, Where, closest
from streams.policy.when import QuietHours, Zone
from streams.policy.whom import Bots, Consent, FrequencyCap, Holdout, KindCooldowns


class Policy(Section):
    """Everything that marketing sets. `Policy.model_json_schema()` lets an editor complete the YAML."""

    name: str = Field(
        min_length=1, pattern="^[^@]*$", description="Key on the topic policies; a worker follows one name."
    )
    kill_switch: bool = Field(
        default=False, description="true: nothing is sent to anybody, decisions are still logged."
    )
    dry_run: bool = Field(
        default=False,
        description="true: all is decided and written down, nothing is sent and no cap counts it.",
    )
    time_zone: Zone = Field(
        default="UTC",
        description="IANA name; of shoppers whose events never told theirs (property time_zone).",
    )
    max_age_minutes: float | None = Field(
        default=None,
        gt=0,
        description="Older events raise nothing, minutes; null: however old. Live sites set it.",
    )
    holdout: Holdout
    bots: Bots = Bots()
    consent: Consent = Consent()
    quiet_hours: list[QuietHours] = Field(default=[], description="When shoppers are left in peace.")
    kind_cooldowns: KindCooldowns = KindCooldowns()
    frequency_caps: list[FrequencyCap] = Field(
        default=[], description="All of them hold, over all campaigns."
    )
    campaigns: list[Annotated[Campaign, Field(discriminator="kind")]] = Field(default=[])

    @field_validator("campaigns")
    @classmethod
    def _distinct(cls, campaigns: list[Campaign]) -> list[Campaign]:
        ids = [campaign.id for campaign in campaigns]
        for name in ids:
            if ids.count(name) > 1:
                raise ValueError(
                    f"the id '{name}' is used {ids.count(name)} times; give each campaign its own"
                )
        return campaigns

    @property
    def version(self) -> str:
        """First 12 hex digits of the SHA-256 of what the document says other than the defaults.

        Comments, key order and defaults written out do not count, so that a version stays when settings are added.
        """
        said = self.model_dump(mode="json", exclude_defaults=True)
        canonical = json.dumps(said, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    def written(self) -> dict[str, Any]:
        """The document as plain data, every default written out."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """The whole document with every default written out; `parse` gives an equal policy back."""
        return yaml.safe_dump(self.written(), sort_keys=False, allow_unicode=True)

    def row(self, published_at: int, document: str | None = None) -> dict[str, Any]:
        """The record for topic `policies`; `document`: the marketer's own text, to keep its comments."""
        text = self.to_yaml() if document is None else document
        return {"name": self.name, "version": self.version, "document": text, "published_at": published_at}


def unknown_scores(policy: Policy, tasks: Sequence[str]) -> Iterator[tuple[Where, str]]:
    """(path, message) of each score that the policy names and a release with these tasks does not have."""
    for at, campaign in enumerate(policy.campaigns):
        if campaign.trigger.score not in tasks:
            score = campaign.trigger.score
            yield ("campaigns", at, "trigger", "score"), f"unknown score '{score}'; {closest(score, tasks)}"
        if campaign.value.score is not None and campaign.value.score not in tasks:
            score = campaign.value.score
            yield ("campaigns", at, "value", "score"), f"unknown score '{score}'; {closest(score, tasks)}"
