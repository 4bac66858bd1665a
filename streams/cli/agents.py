"""What the verbs of agents share: the option that names one, and how counts are told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

Instance = Annotated[
    str,
    typer.Option(
        help="Name of this agent alone, the same after a restart: it then takes over at once after a crash."
    ),
]


def counted(counts: Mapping[str, int]) -> str:
    """ "12 converted, 3 exposed", by name; empty for none."""
    return ", ".join(f"{number:,} {name}" for name, number in sorted(counts.items()))
