"""A campaign: after which events it is considered, what it is worth, whom it is for, what it offers."""

from string import Formatter
from typing import Any, Literal, Self, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError, field_validator, model_validator

from models.events import EVENT_TYPES
from streams.policy.budget import Budget
from streams.policy.experiment import NEXT, Experiment, Learning, check_alike
from streams.policy.section import Money, Positive, Purpose, Section, Share, closest
from streams.policy.when import Schedule
from streams.policy.whom import Audience

Basis = TypeVar("Basis", float, npt.NDArray[np.float64])
PLACEHOLDERS = ("user_id", "next_category", "score", "event_date")


class Trigger(Section):
    """After which events, and at which score, the campaign is considered. Two bounds make a band."""

    event_types: list[str] = Field(min_length=1, description="Events after which the campaign is considered.")
    score: str = Field(
        min_length=1, description="Task of the model whose probability is held against the bounds."
    )
    at_least: Share | None = Field(default=None, description="Least probability.")
    at_most: Share | None = Field(default=None, description="Greatest probability.")
    idle_minutes: float = Field(
        default=0.0,
        ge=0,
        le=7 * 24 * 60,
        description="Minutes in which the shopper has to raise no further event; 0: at once.",
    )

    @field_validator("event_types")
    @classmethod
    def _known(cls, types: list[str]) -> list[str]:
        for name in types:
            if name not in EVENT_TYPES[1:]:
                raise ValueError(f"unknown event type '{name}'; {closest(name, EVENT_TYPES[1:])}")
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

    def expected(self, basis: Basis) -> Basis:
        """Expected value of acting, shop's currency; basis: probability of the task `score`."""
        return self.margin_per_conversion * basis * self.lift - self.cost_per_contact


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
    """An order for a list of items: the likeliest next ones, or the popular ones of the likely next categories."""

    size: int = Field(ge=1, le=100, description="Items in the list.")
    candidates: Literal["next_item", "popular"] = Field(
        default="next_item",
        description="next_item: the items that the model holds most likely next, where the release can tell; popular: the "
        "most bought of the likely next categories, and so where it cannot.",
    )
    considered: int = Field(
        default=200,
        ge=1,
        le=1000,
        description="Likely items that margin, most_per_category and temperature choose from.",
    )
    top_categories: int = Field(
        default=3, ge=1, le=5, description="Next categories that items are taken from (popular)."
    )
    most_per_category: int | None = Field(
        default=None, ge=1, description="Most items of one category in the list; null: no limit."
    )
    margin_weight: Share = Field(
        default=0.0,
        description="0: order by likelihood alone; 1: by likelihood times the catalogue's margin.",
    )
    temperature: float = Field(
        default=0.0,
        ge=0,
        le=10,
        description="0: always the best order; above: drawn, at 1 as likely as items are, so that orders can be compared.",
    )
    expires_minutes: Positive = Field(description="Valid for, minutes after the event.")

    @model_validator(mode="after")
    def _enough(self) -> "RerankPayload":
        if self.considered < self.size:
            raise ValueError(
                f"considered {self.considered} is below size {self.size}, so no list would be full; raise considered"
            )
        return self

    @property
    def chosen_from(self) -> int:
        """How many of the likeliest items can be in the list: `considered` where anything is asked but likelihood."""
        plain = not self.temperature and not self.margin_weight and self.most_per_category is None
        return self.size if plain else self.considered


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
    cooldown_after_purchase_hours: float = Field(
        default=0.0, ge=0, description="Least time after the shopper bought anything, hours; 0: none."
    )
    priority: int = Field(default=0, description="The highest wins an event that several campaigns want.")
    purpose: Purpose = Field(
        default="marketing", description="What consent it needs: service is what a shopper has asked for."
    )
    dry_run: bool = Field(
        default=False, description="true: decided and written down, but nothing is sent and no cap counts it."
    )
    audience: Audience = Audience()
    schedule: Schedule = Schedule()
    in_quiet_hours: Literal["drop", "send"] = Field(
        default="drop", description="drop: not sent at all; send: quiet hours do not hold for this campaign."
    )
    budget: Budget | None = Field(default=None, description="What it may spend in a day; null: no limit.")
    experiment: Experiment | None = Field(default=None, description="Arms that get different payloads.")
    # A week: every decision's window then holds each weekday once, so that windows that begin on different days compare.
    attribution_hours: Positive = Field(
        default=168.0,
        description="What a shopper does so many hours after the event counts as the decision's outcome.",
    )

    @model_validator(mode="after")
    def _no_own_cooldown(self) -> "_Campaign":
        if self.cooldown_after_purchase_hours and "purchase" in self.trigger.event_types:
            raise ValueError(
                f"cooldown_after_purchase_hours {self.cooldown_after_purchase_hours:g} holds back what a purchase "
                "triggers, always; remove it, or purchase from trigger.event_types"
            )
        return self

    @model_validator(mode="after")
    def _arms_offer(self) -> "_Campaign":
        for arm in self.experiment.arms if self.experiment else ():
            self.in_arm(arm.payload, arm.name)
        return self

    @model_validator(mode="after")
    def _learnable(self) -> "_Campaign":
        if self.experiment is None or self.experiment.learning is None:
            return self
        if self.cooldown_hours < self.attribution_hours:
            raise ValueError(
                f"cooldown_hours {self.cooldown_hours:g} is below attribution_hours {self.attribution_hours:g}: what the next "
                "draw brings would be learnt of the draw before; raise cooldown_hours or lower attribution_hours"
            )
        check_alike(self.experiment, [self.in_arm(arm.payload, arm.name) for arm in self.experiment.arms])
        return self

    def in_arm(self, changes: dict[str, Any], name: str) -> Self:
        """The campaign with these fields of its payload exchanged. Raises ValueError when that is no payload."""
        payload: Section = getattr(self, "payload")  # noqa: B009 - every kind has one, of its own type
        try:
            changed = type(payload).model_validate({**payload.model_dump(), **changes})
        except ValidationError as problem:
            fault = problem.errors()[0]
            where = ".".join(map(str, ("payload", *fault["loc"])))
            message = fault["msg"].removeprefix("Value error, ")
            raise ValueError(
                f"experiment: arm '{name}': {where}: {fault['input']!r}: {message[0].lower()}{message[1:]}"
            ) from None
        return self.model_copy(update={"payload": changed})

    @property
    def learning(self) -> Learning | None:
        """How its arms are learnt; None where they are the policy's or there are none."""
        return self.experiment.learning if self.experiment else None

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
    in_quiet_hours: Literal["drop", "defer", "send"] = Field(  # type: ignore[assignment]
        default="drop",
        description="drop: not sent; defer: sent when they end, unless it expires before; send: they do not hold.",
    )


class RerankCampaign(_Campaign):
    """Orders a list."""

    kind: Literal["rerank"]
    payload: RerankPayload

    @model_validator(mode="after")
    def _at_once(self) -> "RerankCampaign":
        if self.trigger.idle_minutes:
            raise ValueError(
                f"idle_minutes {self.trigger.idle_minutes:g}: a list is of use to a shopper who is there; remove it"
            )
        return self


Campaign = CouponCampaign | PushCampaign | RerankCampaign
