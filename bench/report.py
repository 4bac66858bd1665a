"""The one form of every measurement: a JSON file, a table on the terminal, and an exit status that says if bars hold.

    {name, command, commit, hardware, versions, figures, bars: [{name, value, bar, holds}]}

`figures` are numbers and short texts by name, grouped at most once; names end in their unit.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
PAGE = ROOT / "docs" / "performance.md"
TRIALS = ROOT / ".intentflow" / "bench"
LIBRARIES = (
    "faust-streaming",
    "aiokafka",
    "confluent-kafka",
    "fastavro",
    "numpy",
    "onnxruntime",
    "pyarrow",
    "pyruhvro",
    "rocksdict",
)


@dataclass(frozen=True)
class Bar:
    """A figure that has to reach `bar`, which is written with its direction: ">= 20"."""

    name: str
    value: float
    bar: str
    holds: bool


def at_least(name: str, value: float, bar: float) -> Bar:
    return Bar(name, value, f">= {bar:g}", value >= bar)


def at_most(name: str, value: float, bar: float) -> Bar:
    return Bar(name, value, f"<= {bar:g}", value <= bar)


@dataclass(frozen=True)
class Report:
    """One measurement as it came out."""

    name: str
    command: str
    commit: str
    measured_at: str
    hardware: Mapping[str, Any]
    versions: Mapping[str, str]
    figures: Mapping[str, Any]
    bars: tuple[Bar, ...]

    @property
    def holds(self) -> bool:
        return all(bar.holds for bar in self.bars)

    def write(self, folder: Path) -> Path:
        """Into `folder`/<name>.json."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return path


def read(path: Path) -> Report:
    """A report as `write` left it. Raises ValueError naming the file when it is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        found["bars"] = tuple(Bar(**bar) for bar in found["bars"])
        return Report(**found)
    except (KeyError, TypeError, ValueError) as problem:
        raise ValueError(
            f"{path} is no report ({problem}); make it again with `make bench-{path.stem}`"
        ) from None


def fast() -> bool:
    """Whether a short run was asked for: FAST=1 in the environment."""
    return os.environ.get("FAST", "") not in ("", "0")


def trial() -> bool:
    """Whether this run is short or has options of its own: its figures do not count as results."""
    return fast() or len(sys.argv) > 1


def finish(
    name: str, figures: Mapping[str, Any], bars: list[Bar], versions: Mapping[str, str], trial: bool
) -> int:
    """Write and print the report of `make bench-<name>`; returns the exit status, 1 when a bar does not hold."""
    report = made(name, figures, bars, versions, trial)
    path = report.write(TRIALS if trial else RESULTS)
    show(report, Console())
    print(f"written to {path.relative_to(ROOT)}")
    return 0 if report.holds else 1


def made(
    name: str, figures: Mapping[str, Any], bars: list[Bar], versions: Mapping[str, str], trial: bool
) -> Report:
    """The report of `make bench-<name>`, or of a trial run of it, as of now and here."""
    return Report(
        name,
        f"make bench-{name}" if not trial else " ".join(["a trial run of", name, *sys.argv[1:]]),
        commit(),
        now(),
        hardware(),
        {"python": platform.python_version(), **versions, **libraries()},
        {key: _tidy(value) for key, value in figures.items()},
        tuple(Bar(bar.name, _tidy(bar.value), bar.bar, bar.holds) for bar in bars),
    )


def show(report: Report, console: Console) -> None:
    """The report as tables."""
    where = ", ".join(f"{key} {value}" for key, value in report.hardware.items())
    console.print(f"\n[bold]{report.command}[/] at {report.commit[:12]}\n[dim]{where}[/]", highlight=False)
    table = Table("figure", title="figures", title_justify="left")
    table.add_column("value", justify="right")
    for key, value in flat(report.figures):
        table.add_row(key, text(value))
    console.print(table)
    bars = Table("bar", "wanted", "holds", title="bars", title_justify="left")
    bars.add_column("value", justify="right")
    for bar in report.bars:
        bars.add_row(bar.name, bar.bar, "[green]yes[/]" if bar.holds else "[red]NO[/]", text(bar.value))
    console.print(bars)


def flat(figures: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Figures by dotted name, in their order."""
    for key, value in figures.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def text(value: Any) -> str:
    """A figure as people read it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) or abs(value) < 1000 else f"{value:,.0f}"


def commit() -> str:
    """HEAD, with `-dirty` when the tree differs from it elsewhere than in what measurements write."""
    drawn = (PAGE, *(PAGE.with_name(name) for name in ("models.md", "frontier.svg")))
    made = [f":(exclude){path.relative_to(ROOT)}" for path in (RESULTS, *drawn)]
    revision = _git("rev-parse", "HEAD")
    return revision + ("-dirty" if _git("status", "--porcelain", "--", ".", *made) else "")


def hardware() -> dict[str, Any]:
    """What the figures depend on most. `load` tells how busy the machine was when the report was written."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
    }


def now() -> str:
    """The moment, ISO 8601 in UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def libraries(names: tuple[str, ...] = LIBRARIES) -> dict[str, str]:
    """Versions of those that are installed: a machine lent for its GPU has no Kafka clients."""
    there = {found.name for found in importlib.metadata.distributions()}
    return {name: importlib.metadata.version(name) for name in names if name in there}


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def _tidy(value: Any) -> Any:
    """Four digits: the rest is noise."""
    if isinstance(value, Mapping):
        return {key: _tidy(inner) for key, inner in value.items()}
    if not isinstance(value, float):
        return value
    return round(value) if abs(value) >= 1000 else float(f"{value:.4g}")
