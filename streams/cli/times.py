"""Moments as they are typed on the command line."""

from __future__ import annotations

from datetime import UTC, datetime

import typer


def moment(text: str) -> datetime:
    """An ISO date or time, UTC when it names no zone. Raises typer.BadParameter."""
    try:
        return utc(datetime.fromisoformat(text))
    except ValueError:
        raise typer.BadParameter(
            f"{text!r}: want a date or time such as 2017-10-01 or 2017-10-01T12:00Z"
        ) from None


def utc(moment: datetime) -> datetime:
    """The moment with a zone: UTC where it has none."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def milliseconds(moment: datetime) -> int:
    """ms since 1970 UTC."""
    return round(moment.timestamp() * 1000)
