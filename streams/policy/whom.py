"""Whom a policy reaches: hold-out, consent, robots and staff, a campaign's audience, and how often anybody."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from models.events import DEVICES
from streams.policy.section import KINDS, Kind, Positive, Section, closest

Said = Literal["opt_in", "opt_out"]


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

    coupon: Said = Field(default="opt_in", description="Coupons of purpose marketing.")
    push: Said = Field(default="opt_in", description="Messages of purpose marketing.")
    rerank: Said = Field(default="opt_in", description="Re-ordered lists of purpose marketing.")
    service: Said = Field(default="opt_in", description="Whatever the kind, campaigns of purpose service.")


class Bots(Section):
    """Robots, staff and test shoppers: nothing is sent to them, and no experiment counts them."""

    user_ids: list[str] = Field(
        default=[], description="Patterns of user ids: * is any text, ? any one character; case counts."
    )
    properties: list[str] = Field(
        default=[],
        description="Event properties that mark one when they say true, 1 or yes: bot, staff.",
    )
    events_per_minute: float | None = Field(
        default=None,
        gt=0,
        description="More on average since the first event mark one, from the 30th event on; null: no limit.",
    )


class FrequencyCap(Section):
    """At most `count` interventions of these kinds together in any `hours` hours of event time, per shopper."""

    count: int = Field(ge=1, description="Interventions.")
    hours: Positive = Field(description="Length of the window, hours.")
    kinds: list[Kind] = Field(
        default=list(KINDS), min_length=1, description="Kinds counted together; others are exempt."
    )


class KindCooldowns(Section):
    """Least time between two interventions of one kind for one shopper, whatever the campaign."""

    coupon: float = Field(default=0.0, ge=0, description="Between two coupons, hours; 0: none.")
    push: float = Field(default=0.0, ge=0, description="Between two messages, hours; 0: none.")
    rerank: float = Field(default=0.0, ge=0, description="Between two lists, hours; 0: none.")


class Audience(Section):
    """Shoppers a campaign is for. What is left out does not matter; what is written must all be met.

    Counts are of what the shopper did before the event that raised the candidate.
    """

    events_at_least: int | None = Field(default=None, ge=0, description="Least earlier events.")
    events_at_most: int | None = Field(default=None, ge=0, description="Most earlier events.")
    sessions_at_least: int | None = Field(default=None, ge=0, description="Least sessions begun before.")
    sessions_at_most: int | None = Field(default=None, ge=0, description="Most sessions begun before.")
    bought: bool | None = Field(
        default=None, description="true: bought before (returning); false: never (new)."
    )
    categories: list[str] | None = Field(
        default=None, min_length=1, description="The event is about one of these categories."
    )
    devices: list[str] | None = Field(
        default=None, min_length=1, description="The event came from one of these."
    )
    user_ids: list[str] | None = Field(
        default=None,
        min_length=1,
        description="Patterns of user ids (* any text, ? one character): one fits.",
    )

    @field_validator("devices")
    @classmethod
    def _known(cls, devices: list[str] | None) -> list[str] | None:
        for name in devices or ():
            if name not in DEVICES:
                raise ValueError(f"unknown device '{name}'; {closest(name, DEVICES)}")
        return devices

    @model_validator(mode="after")
    def _possible(self) -> "Audience":
        for what in ("events", "sessions"):
            least, most = getattr(self, f"{what}_at_least"), getattr(self, f"{what}_at_most")
            if least is not None and most is not None and least > most:
                raise ValueError(
                    f"{what}_at_least {least} is above {what}_at_most {most}, so nobody meets both; correct one"
                )
        return self
