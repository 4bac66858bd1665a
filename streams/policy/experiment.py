"""An experiment within a campaign: arms that differ in what is offered, one of them perhaps nothing."""

from typing import Any

from pydantic import Field, field_validator, model_validator

from streams.policy.section import Section


class Arm(Section):
    """What one part of the shoppers gets."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$", description="Name in decisions and reports.")
    share: float = Field(gt=0, le=100, description="Part of the shoppers, per cent.")
    nothing: bool = Field(default=False, description="true: a control arm, nothing is sent.")
    payload: dict[str, Any] = Field(
        default={}, description="Fields of the campaign's payload that are other in this arm."
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> "Arm":
        if self.nothing and self.payload:
            raise ValueError("an arm that is nothing has no payload; remove one of the two")
        return self


class Experiment(Section):
    """Shares of a campaign's shoppers who get different things, always the same for one shopper."""

    salt: str = Field(
        min_length=1, description="Text hashed with the user id; another salt deals the shoppers out anew."
    )
    arms: list[Arm] = Field(min_length=2, description="Their shares add up to 100 %.")

    @field_validator("arms")
    @classmethod
    def _whole(cls, arms: list[Arm]) -> list[Arm]:
        names = [arm.name for arm in arms]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(
                    f"the arm '{name}' is there {names.count(name)} times; give each its own name"
                )
        total = sum(arm.share for arm in arms)
        if abs(total - 100) > 1e-6:
            raise ValueError(f"the shares add up to {total:g} %; make them add up to 100 %")
        return arms
