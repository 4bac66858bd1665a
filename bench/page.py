"""`make bench-page`: docs/performance.md from what is in bench/results/, and nothing that is not in there.

Give `--check` to be told, with exit status 1, that the page is not that of the results.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from bench.report import PAGE, RESULTS, Report, flat, read, text

OPENING = """# Performance

Made from `bench/results/*.json` by `make bench-page`; do not edit it. Every table is one command that anyone can run
again, on the hardware that it names; it ends with an error when a bar does not hold. In names of figures, what stands
last is the unit.
"""
ABOUT = {
    "pipeline": """
One worker and Apache Kafka on the same machine. **Saturation**: a backlog of events, hardly two of one shopper in a
row, is taken as fast as it goes; the rate is read off the offsets that the worker's transactions committed, after
start-up and with checkpoints going on. **Latency**: events are sent on a fixed schedule, at a quarter and at half of
that rate, and each is timed from when it was due (so a stall counts for every event that it held up) to when a
`read_committed` consumer could read its prediction or intervention. **Plain Faust** does the same job event by event
on the same topic, from the same release, at least once; it decides and checks nothing. `commit` overlaps with compute:
while one partition's transaction is under way, another partition computes.
""",
    "memory": """
A million shoppers come once each, then some come again, through one worker at default settings. The bound is computed
from the settings (`bench/memory_bound.py`): rows in memory, RocksDB's cache and write buffers, batches under way, and a
base for interpreter, libraries and model.
""",
}


def page(reports: Iterable[Report]) -> str:
    """The whole page as Markdown."""
    return "\n".join([OPENING, *(section(report) for report in reports)])


def section(report: Report) -> str:
    """One measurement."""
    hardware = ", ".join(f"{key} {value}" for key, value in report.hardware.items())
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    lines = [
        f"## {report.name}",
        "",
        *([ABOUT[report.name].strip(), ""] if report.name in ABOUT else []),
        f"`{report.command}` on {report.measured_at[:10]} at commit `{report.commit[:12]}`; {hardware}.",
        "",
        "| bar | value | wanted | holds |",
        "|---|---|---|---|",
        *(
            f"| {b.name} | {text(b.value)} | {b.bar} | {'yes' if b.holds else '**no**'} |"
            for b in report.bars
        ),
        "",
        "| figure | value |",
        "|---|---|",
        *(f"| {name} | {text(value)} |" for name, value in flat(report.figures)),
        "",
        f"Versions: {versions}.",
        "",
    ]
    return "\n".join(lines)


def reports(folder: Path = RESULTS) -> list[Report]:
    """All results in a folder, the pipeline's first."""
    return sorted(
        map(read, folder.glob("*.json")), key=lambda report: (report.name != "pipeline", report.name)
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.page")
    parser.add_argument("--check", action="store_true", help="only say whether the page is up to date")
    made = page(reports())
    if parser.parse_args().check:
        current = PAGE.exists() and PAGE.read_text(encoding="utf-8") == made
        print(
            "docs/performance.md is up to date" if current else "docs/performance.md is old: make bench-page"
        )
        return 0 if current else 1
    PAGE.write_text(made, encoding="utf-8")
    print("docs/performance.md written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
