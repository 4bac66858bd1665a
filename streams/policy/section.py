"""What every part of a policy is made of: the base model, and the types of its fields."""

import difflib
from collections.abc import Sequence
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["coupon", "push", "rerank"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Purpose = Literal["marketing", "service"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)

Share = Annotated[float, Field(ge=0, le=1)]
Money = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Where = tuple[int | str, ...]


class Section(BaseModel):
    """Base of every part: nothing unknown, nothing coerced ("0.3" is no number), all finite, all frozen."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, serialize_by_alias=True
    )


def closest(word: str, known: Sequence[str]) -> str:
    """The mend for a misspelt word: the nearest known one, and all of them."""
    near = difflib.get_close_matches(word, known, 1)
    return (f"did you mean '{near[0]}'? Known: " if near else "known: ") + ", ".join(known)
