"""What a row of `make bench-models` is: its data, its parameters, what was published, what we measured, its bars."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bench.report import ROOT, Bar, at_least, at_most

Metrics = dict[str, float]

DATA = Path(os.environ.get("INTENTFLOW_DATA", ROOT.parent / "shared" / "data"))
HERE = Path(__file__).parent


class NoData(Exception):
    """The data of a row is not on this machine; the message names the folder."""


@dataclass
class Row:
    """Figures of one data set, by model and then by metric. notes: sentences that the page prints below the table."""

    ours: dict[str, Metrics] = field(default_factory=dict)
    bars: list[Bar] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def want(self, parameters: Mapping[str, Any], name: str, value: float) -> None:
        """A bar of the parameter file: `bars: {name: ">= 0.7"}`."""
        self.bars.append(bar(name, value, str(parameters["bars"][name])))


def bar(name: str, value: float, wanted: str) -> Bar:
    """A bar from its text, ">= 0.7" or "<= 0.1"."""
    direction, limit = wanted.split()
    return {">=": at_least, "<=": at_most}[direction](name, value, float(limit))


def parameters(row: str) -> dict[str, Any]:
    """The row's parameter file."""
    found: dict[str, Any] = yaml.safe_load((HERE / f"{row}.yaml").read_text(encoding="utf-8"))
    return found


def data(folder: str, *names: str) -> list[Path]:
    """The files of a data set. Raises NoData when one is absent."""
    paths = [DATA / folder / name for name in names]
    for path in paths:
        if not path.exists():
            raise NoData(f"{path} is not here: put the data there, or name its folder with INTENTFLOW_DATA")
    return paths
