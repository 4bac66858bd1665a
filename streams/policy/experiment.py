"""An experiment within a campaign: arms that differ in what is offered, one of them perhaps nothing; dealt or learnt."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from streams.policy.section import Section, Share

NEXT = "next"  # as a coupon's category: whatever the model holds most likely for the next basket
# Fields of payloads that rules look at (`rules.time_to_send`, `interventions.can_offer`), and what of them they see.
SEEN_BY_RULES: dict[str, dict[str, Callable[[Any], Any]]] = {
    "coupon": {"category": lambda category: category == NEXT},
    "push": {"send_after_minutes": float, "expires_hours": float},
    "rerank": {"candidates": str, "top_categories": int},
}


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


class Learning(Section):
    """The arm of each moment by what the arms earned in moments like it; `intentflow learn` learns it."""

    floor: float = Field(
        gt=0,
        le=100,
        description="Part of the moments dealt evenly among the arms whatever was learnt, per cent; without any, nothing "
        "new would be learnt and nothing could be evaluated.",
    )
    margin_share: Share = Field(
        description="Margin as a share of revenue, where purchases tell none; what returns cost."
    )
    method: Literal["thompson", "linucb", "greedy"] = Field(
        default="thompson",
        description="thompson: an arm as often as it may be the best; linucb: the most promising; greedy: the best so far.",
    )
    least_outcomes: int = Field(
        default=100, ge=1, description="Outcomes to be learnt before the shares of the arms give way."
    )


class Experiment(Section):
    """Parts of a campaign's shoppers who get different things, always the same for one shopper; or, learning, of its
    moments."""

    salt: str = Field(
        min_length=1,
        description="Text hashed with the user id, when learning with the event id; another salt deals anew.",
    )
    arms: list[Arm] = Field(min_length=2, description="Their shares add up to 100 %.")
    learning: Learning | None = Field(
        default=None, description="The shares hold until enough was learnt; null: always."
    )

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


def check_alike(experiment: Experiment, campaigns: Sequence[Any]) -> None:
    """Raises ValueError where a rule could speak against one arm in a moment and not against another.

    What is left once rules were asked would be other moments in each arm, and not those of the logged chances. campaigns: as
    each arm has it.
    """
    arms, first = experiment.arms, campaigns[0]
    for field, seen in SEEN_BY_RULES[first.kind].items():
        one = getattr(first.payload, field)
        for arm, campaign in zip(arms[1:], campaigns[1:], strict=True):
            other = getattr(campaign.payload, field)
            if seen(other) != seen(one):
                raise ValueError(
                    f"experiment: arm '{arm.name}': payload.{field}: {other!r}: in arm '{arms[0].name}' it is {one!r}, and "
                    f"rules look at it before the draw counts; where arms are learnt give all arms the same {field}"
                )
