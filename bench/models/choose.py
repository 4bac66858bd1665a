"""`python -m bench.models.choose ROW`: the models of a row of rankings on its latest training sessions; no test is read.

Each is fitted on all training sessions but the latest 5 % and asked for the items of those: the figures by which settings
were chosen. The weights of the blend are found on the same sessions. Both are then written into the row's parameter file
by hand; `make bench-models` fits on all training sessions with what stands there.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.models.ranking import Task, measured, trained
from bench.models.row import Row, parameters
from bench.processes import say
from models.families.blend import Blend
from models.families.sessions import latest, part, questions

ROWS = ("yoochoose", "cotrec", "diginetica")
HELD_OUT = 0.05
MOST = 8000  # questions to be asked: more take long and say little more


def choose(task: Task, given: Mapping[str, Any], folder: Path | None) -> Blend:
    """Prints the figures; returns the blend. folder: where the fitted models go, if they are to be kept."""
    rest, held = latest(task.train, HELD_OUT)
    asked, targets = questions(held)
    first = max(0, len(asked) - MOST)
    checks = Task(rest, part(asked, first, len(asked)), targets[first:])
    models = trained(checks, given, Row())
    if folder is not None:
        for name, model in models.items():
            model.export(folder / name)
    blend = Blend([models[name] for name in given["blend"]]).weigh(checks.asked, checks.targets)
    weights = zip(given["blend"], blend.weights if blend.weights is not None else (), strict=True)
    say("blend: {" + ", ".join(f"{name}: {weight:.2f}" for name, weight in weights) + "}")
    say(f"with these, on the sessions they were chosen on: {measured(blend, checks)}")
    return blend


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.models.choose")
    parser.add_argument("row", choices=ROWS)
    parser.add_argument("--keep", type=Path, help="a folder for the fitted models")
    asked = parser.parse_args()
    choose(importlib.import_module(f"bench.models.{asked.row}").task(), parameters(asked.row), asked.keep)
    return 0


if __name__ == "__main__":
    sys.exit(main())
