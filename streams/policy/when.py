"""When a policy may act: quiet hours and schedules, in the shopper's own time."""

from datetime import date, datetime
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from streams.local_time import known_zone, minute_of_day
from streams.policy.section import KINDS, Kind, Section

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def _clock(value: Any) -> Any:
    """A time of day as text. YAML reads an unquoted 21:00 as the number 1260, which is told with its mend."""
    if isinstance(value, int) and not isinstance(value, bool):
        written = f"{value // 60 % 24:02}:{value % 60:02}"
        raise ValueError(f'{value!r} is a number to YAML; write a time of day in quotes, such as "{written}"')
    if isinstance(value, str):
        try:
            minute_of_day(value)
        except ValueError:
            raise ValueError(f'{value!r} is no time of day; write "HH:MM" from "00:00" to "24:00"') from None
    return value


def _day(value: Any) -> Any:
    """A day as text; YAML reads an unquoted 2026-12-24 as a date."""
    if isinstance(value, datetime):
        raise ValueError(
            f"{value} has a time of day; write the day alone, such as {value.date()}, and use hours"
        )
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str):
        try:
            return date.fromisoformat(value).isoformat()
        except ValueError:
            raise ValueError(f"{value!r} is no day; write YYYY-MM-DD") from None
    return value


def _zone(value: Any) -> Any:
    if isinstance(value, str) and not known_zone(value):
        raise ValueError(f"{value!r} is no time zone; write an IANA name such as Europe/Berlin, or UTC")
    return value


Clock = Annotated[str, BeforeValidator(_clock)]
Day = Annotated[str, BeforeValidator(_day)]
Zone = Annotated[str, BeforeValidator(_zone)]


class Hours(Section):
    """A stretch of the day, in the shopper's time zone. An end before the start is on the next day."""

    start: Clock = Field(alias="from", description='First minute, "HH:MM" in quotes.')
    end: Clock = Field(alias="until", description='Minute after the last, "HH:MM" in quotes.')
    weekdays: list[Weekday] = Field(
        default=list(get_args(Weekday)), min_length=1, description="Days on which the stretch begins."
    )

    @model_validator(mode="after")
    def _something(self) -> "Hours":
        if self.start == self.end:
            raise ValueError(
                f'from and until are both "{self.start}"; write "00:00" and "24:00" for whole days, or correct one'
            )
        return self


class QuietHours(Hours):
    """A stretch of the day in which nothing of these kinds reaches a shopper."""

    kinds: list[Kind] = Field(default=list(KINDS), min_length=1, description="Kinds that keep quiet.")


class Schedule(Section):
    """Days and hours on which a campaign is considered, in the shopper's time zone."""

    first_day: Day | None = Field(default=None, alias="from", description="First day, YYYY-MM-DD.")
    last_day: Day | None = Field(default=None, alias="until", description="Last day, YYYY-MM-DD.")
    hours: list[Hours] | None = Field(
        default=None, min_length=1, description="Within one of these; else always."
    )

    @model_validator(mode="after")
    def _in_order(self) -> "Schedule":
        if self.first_day is not None and self.last_day is not None and self.first_day > self.last_day:
            raise ValueError(
                f"until {self.last_day} is before from {self.first_day}; exchange or correct them"
            )
        return self
