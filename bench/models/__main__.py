"""Runs the rows that are asked for, one after the other; see the package."""

from __future__ import annotations

import importlib
import os
import sys
import time
import traceback
from typing import Any

from bench import report
from bench.models import page
from bench.models.row import NoData, Row, parameters
from bench.processes import say
from bench.report import Bar

ROWS = (
    "online_shoppers",
    "yoochoose",
    "cotrec",
    "diginetica",
    "retailrocket_cart",
    "cdnow",
    "taobao",
    "jdata",
    "completejourney",
)
LIBRARIES = ("torch", "scikit-learn", "lightgbm", "scipy")


def main() -> int:
    only = os.environ.get("ONLY", "").split() or list(ROWS)
    unknown = sorted(set(only) - set(ROWS))
    if unknown:
        print(f"ONLY={unknown[0]}: no such row; want one of {', '.join(ROWS)}", file=sys.stderr)
        return 2
    versions, trial = report.libraries(LIBRARIES), report.fast()
    failed = False
    figures, bars = _before()
    for name in (row for row in ROWS if row in only):
        found, found_bars = measured(name)
        failed = failed or "error" in found
        figures, bars = _before()  # only now: another run may have written its rows meanwhile
        if "skipped" in found and "models" in figures.get(name, {}):
            continue  # what was measured where the data was stays
        figures[name] = found
        figures = {row: figures[row] for row in ROWS if row in figures}
        bars = [one for one in bars if not one.name.startswith(f"{name}: ")] + found_bars
        bars.sort(key=lambda one: ROWS.index(one.name.partition(":")[0]))
        # After every row: an hour's figures do not hang on the last of them.
        report.made("models", figures, bars, versions, trial).write(
            report.TRIALS if trial else report.RESULTS
        )
    status = report.finish("models", figures, bars, versions, trial)
    if not trial:
        page.write()
    return 1 if failed else status


def measured(name: str) -> tuple[dict[str, Any], list[Bar]]:
    """Figures and bars of one row; a row without data says so, one that fails says why and leaves the others alone."""
    say(name)
    begun = time.monotonic()
    try:
        module = importlib.import_module(f"bench.models.{name}")
        row: Row = module.measure(parameters(name))
    except NoData as absent:
        say(f"{name}: skipped, {absent}")
        return {"skipped": str(absent)}, []
    except Exception as problem:
        traceback.print_exc()
        return {"error": f"{type(problem).__name__}: {problem}".splitlines()[0]}, []
    took = {"seconds": time.monotonic() - begun, "measured_at": report.now(), "commit": report.commit()}
    figures = {"models": row.ours, **took, "notes": row.notes}
    return figures, [Bar(f"{name}: {one.name}", one.value, one.bar, one.holds) for one in row.bars]


def _before() -> tuple[dict[str, Any], list[Bar]]:
    """Figures and bars of the rows as the last run left them."""
    path = (report.TRIALS if report.fast() else report.RESULTS) / "models.json"
    if not path.exists():
        return {}, []
    last = report.read(path)
    return dict(last.figures), list(last.bars)


if __name__ == "__main__":
    sys.exit(main())
