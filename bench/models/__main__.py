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
    found = {name: measured(name) for name in ROWS if name in only}
    figures, bars = _before()  # only now: another run may have written its rows meanwhile
    for name, (made, made_bars) in found.items():
        figures[name] = made
        bars = [one for one in bars if not one.name.startswith(f"{name}: ")] + made_bars
    figures = {name: figures[name] for name in ROWS if name in figures}
    bars.sort(key=lambda one: ROWS.index(one.name.partition(":")[0]))
    status = report.finish("models", figures, bars, report.libraries(LIBRARIES), report.fast())
    if not report.fast():
        page.write()
    return 1 if any("error" in figures[name] for name in only) else status


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
