"""What marketing allows: hold-out, consent, caps and campaigns, as checked models.

`policy_document` reads one from YAML; it travels on the compacted topic `policies`, and the worker swaps it between
two batches; `decide` compiles it for a release's scores and follows it.
"""

import difflib
import hashlib
import json
from collections.abc import Iterator, Sequence
from string import Formatter
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from models.events import EVENT_TYPES

Kind = Literal["coupon", "push", "rerank"]
KINDS: tuple[Kind, ...] = get_args(Kind)
NEXT = "next"  # as a coupon's category: whatever the model holds most likely for the next basket
PLACEHOLDERS = ("user_id", "next_category", "score", "event_date")

Share = Annotated[float, Field(ge=0, le=1)]
Money = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Where = tuple[int | str, ...]


class Section(BaseModel):
    """Base of every part: nothing unknown, nothing coerced ("0.3" is no number), all finite, all frozen."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Holdout(Section):
    """Shoppers who never get anything, so that the effect of all campaigns together can be measured."""

    salt: str = Field(
        min_length=1, description="Text hashed with the user id; another salt draws other shoppers."
    )
    share: float = Field(
        ge=0, lt=1, description="Share of shoppers held out; for 'nobody gets anything' use kill_switch."
    )


class Consent(Section):
    """What holds until a shopper says something. opt_out: may be reached; opt_in: may not be."""

    coupon: Literal["opt_in", "opt_out"] = "opt_in"
    push: Literal["opt_in", "opt_out"] = "opt_in"
    rerank: Literal["opt_in", "opt_out"] = "opt_in"


class FrequencyCap(Section):
    """At most `count` interventions of these kinds together in any `hours` hours of event time, per shopper."""

    count: int = Field(ge=1, description="Interventions.")
    hours: Positive = Field(description="Length of the window, hours.")
    kinds: list[Kind] = Field(
        default=list(KINDS), min_length=1, description="Kinds counted together; others are exempt."
    )


class Trigger(Section):
    """After which events, and at which score, the campaign is considered. Two bounds make a band."""

    event_types: list[str] = Field(min_length=1, description="Events after which the campaign is considered.")
    score: str = Field(
        min_length=1, description="Task of the model whose probability is held against the bounds."
    )
    at_least: Share | None = Field(default=None, description="Least probability.")
    at_most: Share | None = Field(default=None, description="Greatest probability.")

    @field_validator("event_types")
    @classmethod
    def _known(cls, types: list[str]) -> list[str]:
        for name in types:
            if name not in EVENT_TYPES[1:]:
                raise ValueError(f"unknown event type '{name}'; {_closest(name, EVENT_TYPES[1:])}")
        return types

    @model_validator(mode="after")
    def _bounded(self) -> "Trigger":
        if self.at_least is None and self.at_most is None:
            raise ValueError("no bound; write at_least or at_most, a probability between 0 and 1")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError("at_least is above at_most, so nothing can meet both; exchange or correct them")
        return self

    @property
    def threshold(self) -> float:
        """The bound that a decision reports: the lower one, or the upper where there is no lower."""
        bound = self.at_least if self.at_least is not None else self.at_most
        assert bound is not None
        return bound


class Value(Section):
    """expected value = margin_per_conversion * score * lift - cost_per_contact; act when at least `minimum`."""

    margin_per_conversion: Money = Field(
        description="Margin that one more conversion brings, shop's currency."
    )
    lift: Share = Field(
        description="Extra conversions per unit of score that acting causes: score * lift are expected."
    )
    cost_per_contact: Money = Field(
        description="Expected cost of acting once, redeemed or not, shop's currency."
    )
    minimum: float = Field(default=0.0, description="Least expected value for which we act, shop's currency.")
    score: str | None = Field(
        default=None, description="Task that the value rests on; the trigger's when absent."
    )


class CouponPayload(Section):
    """A price reduction."""

    value: Positive = Field(description="Worth, shop's currency.")
    minimum_spend: Money = Field(default=0.0, description="Least basket value, shop's currency.")
    category: str | None = Field(
        default=NEXT, description="'next': the most likely next one; a category id; null: all."
    )
    expires_hours: Positive = Field(description="Valid for, hours after the event.")


class PushPayload(Section):
    """A message to the shopper's device."""

    template: str = Field(min_length=1, description="Name of the template in the sending system.")
    variables: dict[str, str] = Field(default={}, description="Values for it; {placeholders} are filled in.")
    send_after_minutes: float = Field(default=0.0, ge=0, description="Not before, minutes after the event.")
    expires_hours: Positive = Field(description="Not after, hours after the event.")

    @field_validator("variables")
    @classmethod
    def _fillable(cls, variables: dict[str, str]) -> dict[str, str]:
        for name, text in variables.items():
            for _, field, spec, conversion in Formatter().parse(text):
                if field is not None and (field not in PLACEHOLDERS or spec or conversion):
                    known = ", ".join(f"{{{p}}}" for p in PLACEHOLDERS)
                    raise ValueError(f"{name} has the placeholder {{{field}}}; write one of {known}")
        return variables

    @model_validator(mode="after")
    def _in_time(self) -> "PushPayload":
        if self.send_after_minutes >= self.expires_hours * 60:
            raise ValueError(
                "it expires before it may be sent; lower send_after_minutes or raise expires_hours"
            )
        return self


class RerankPayload(Section):
    """An order for a list of items: the popular ones of the most likely next categories."""

    size: int = Field(ge=1, le=100, description="Items in the list.")
    top_categories: int = Field(
        default=3, ge=1, le=5, description="Next categories that items are taken from."
    )
    expires_minutes: Positive = Field(description="Valid for, minutes after the event.")


class _Campaign(Section):
    id: str = Field(
        pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$", description="Name in decisions and reports; never reuse one."
    )
    enabled: bool = Field(default=True, description="Kill switch of this campaign.")
    trigger: Trigger
    value: Value
    cooldown_hours: float = Field(
        ge=0, description="Least time between two of this campaign for one shopper, hours."
    )
    priority: int = Field(default=0, description="The highest wins an event that several campaigns want.")

    @property
    def value_score(self) -> str:
        """Task that the expected value rests on."""
        return self.value.score or self.trigger.score


class CouponCampaign(_Campaign):
    """Gives a coupon."""

    kind: Literal["coupon"]
    payload: CouponPayload


class PushCampaign(_Campaign):
    """Sends a message."""

    kind: Literal["push"]
    payload: PushPayload


class RerankCampaign(_Campaign):
    """Orders a list."""

    kind: Literal["rerank"]
    payload: RerankPayload


Campaign = CouponCampaign | PushCampaign | RerankCampaign


class Policy(Section):
    """Everything that marketing sets. `Policy.model_json_schema()` lets an editor complete the YAML."""

    name: str = Field(min_length=1, description="Key on the topic policies; a worker follows one name.")
    kill_switch: bool = Field(
        default=False, description="true: nothing is sent to anybody, decisions are still logged."
    )
    holdout: Holdout
    consent: Consent = Consent()
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
        """First 12 hex digits of the SHA-256 of the canonical document; comments and key order do not count."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    def to_yaml(self) -> str:
        """The whole document with every default written out; `parse` gives an equal policy back."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)

    def row(self, published_at: int, document: str | None = None) -> dict[str, Any]:
        """The record for topic `policies`; `document`: the marketer's own text, to keep its comments."""
        text = self.to_yaml() if document is None else document
        return {"name": self.name, "version": self.version, "document": text, "published_at": published_at}


def unknown_scores(policy: Policy, tasks: Sequence[str]) -> Iterator[tuple[Where, str]]:
    """(path, message) of each score that the policy names and a release with these tasks does not have."""
    for at, campaign in enumerate(policy.campaigns):
        if campaign.trigger.score not in tasks:
            score = campaign.trigger.score
            yield ("campaigns", at, "trigger", "score"), f"unknown score '{score}'; {_closest(score, tasks)}"
        if campaign.value.score is not None and campaign.value.score not in tasks:
            score = campaign.value.score
            yield ("campaigns", at, "value", "score"), f"unknown score '{score}'; {_closest(score, tasks)}"


def _closest(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, 1)
    return (f"did you mean '{near[0]}'? Known: " if near else "known: ") + ", ".join(known)
