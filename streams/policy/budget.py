"""What a campaign may spend in a day, over all shoppers together."""

from typing import Literal

from pydantic import Field, model_validator

from streams.policy.section import Money, Section


class Budget(Section):
    """Each partition has an equal share of it, so that no worker asks another one, and the whole is never exceeded.

    The day is that of the policy's time zone, in event time.
    """

    money: Money | None = Field(
        default=None,
        description="Most of cost_per_contact to spend in a day, shop's currency; null: no limit.",
    )
    count: int | None = Field(default=None, ge=0, description="Most interventions in a day; null: no limit.")
    pacing: Literal["even", "none"] = Field(
        default="even",
        description="even: over the whole day, on those worth most per unit of cost; none: who comes first.",
    )

    @model_validator(mode="after")
    def _limits_something(self) -> "Budget":
        if self.money is None and self.count is None:
            raise ValueError("limits nothing; write money, count, or both")
        return self
