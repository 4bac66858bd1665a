"""The card of a release that is measured and thrown away. No Kafka here: a machine lent for its GPU has none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from models.release import Card

_PLAIN = Card(
    model="bench",
    categories=(),
    popular={},
    metrics={},
    data_from="",
    data_until="",
    seed=0,
    git_revision="random weights",
    schema_fingerprint="random weights",
)


def card(**fields: Any) -> Card:
    """With these fields, and the rest as it does not matter."""
    return replace(_PLAIN, **fields)
