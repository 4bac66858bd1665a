"""`python -m bench.models.page`: docs/models.md, the table "published / ours / command", from the results."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from bench import report
from bench.models.row import Metrics, parameters
from bench.report import ROOT, Bar

PAGE = ROOT / "docs" / "models.md"
OPENING = """# Models

Every model family on real data, beside what was published for it. Made from `bench/results/models.json` and the
parameter files in `bench/models/` by `make bench-models`; do not edit it. *Published* figures are those of others, with
their protocol; *ours* were measured by the command above the table.
"""


def page(last: report.Report) -> str:
    """The whole page as Markdown."""
    hardware = ", ".join(f"{key} {value}" for key, value in last.hardware.items())
    versions = ", ".join(f"{name} {version}" for name, version in last.versions.items())
    sections = [section(name, last.figures[name], last.bars) for name in last.figures]
    return "\n".join([OPENING, *sections, f"Measured on {hardware}. Versions: {versions}.\n"])


def section(name: str, figures: Mapping[str, Any], bars: Iterable[Bar]) -> str:
    """One data set."""
    given = parameters(name)
    lines = [f"## {name}", "", str(given["about"]).strip(), "", f"`make bench-models ONLY={name}`", ""]
    lines += _table(given.get("published", {}), figures.get("models", {}))
    if "models" not in figures:
        return "\n".join([*lines, f"Not measured: {figures.get('error') or figures.get('skipped')}", ""])
    lines += ["| bar | value | wanted | holds |", "|---|---|---|---|"]
    mine = (bar for bar in bars if bar.name.startswith(f"{name}: "))
    for bar in mine:
        short = bar.name.partition(": ")[2]
        lines.append(f"| {short} | {bar.value:g} | {bar.bar} | {'yes' if bar.holds else '**no**'} |")
    lines += ["", *(f"- {note}" for note in figures.get("notes", ()))]
    lines += [
        "",
        f"{figures['seconds']:.0f} s, {figures['measured_at'][:10]}, `{figures['commit'][:12]}`.",
        "",
    ]
    return "\n".join(lines)


def _table(published: Mapping[str, Any], ours: Mapping[str, Metrics]) -> list[str]:
    """Models down, metrics across. A published row is {metrics…, source: text}. Nothing of no rows."""
    rows = [
        (f"{name} ({row.get('source', 'published')})", "published", row) for name, row in published.items()
    ]
    rows += [(name, "ours", row) for name, row in ours.items()]
    if not rows:
        return []
    names = list(dict.fromkeys(key for _, _, row in rows for key in row if key != "source"))
    lines = [f"| model | whose | {' | '.join(names)} |", f"|---|---{'|---' * len(names)}|"]
    for name, whose, row in rows:
        cells = " | ".join(_cell(row.get(key)) for key in names)
        lines.append(f"| {name} | {whose} | {cells} |")
    return [*lines, ""]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) and abs(value) < 100 else f"{value}"


def write() -> None:
    PAGE.write_text(page(report.read(report.RESULTS / "models.json")), encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)} written")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.models.page")
    parser.add_argument("--check", action="store_true", help="only say whether the page is up to date")
    made = page(report.read(report.RESULTS / "models.json"))
    if parser.parse_args().check:
        fresh = PAGE.exists() and PAGE.read_text(encoding="utf-8") == made
        print(
            "docs/models.md is up to date" if fresh else "docs/models.md is old: python -m bench.models.page"
        )
        return 0 if fresh else 1
    write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
