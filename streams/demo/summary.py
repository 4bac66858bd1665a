"""What the demo shows at its end: how good the predictions were, what was done and why, and where to look next."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from schemas.codec import Codec
from schemas.registry import open_registry
from schemas.settings import Settings
from schemas.topics import Topics
from streams.cli.log import Log
from streams.demo.children import Children
from streams.demo.view import View, quantile, tallies

EACH_KIND = 2


def show(
    console: Console,
    settings: Settings,
    view: View,
    tables: list[Table],
    page: Path,
    seconds: float,
    children: Children,
) -> None:
    """Everything after the stream has ended. tables: the report; page: the same with plots."""
    _speed(console, view)
    for table in tables:
        console.print(table)
    _examples(console, settings)
    parts = ", ".join(f"{name} {size / 1e6:,.0f}" for name, size in children.peak_of.items())
    console.print(
        f"\n{seconds:.0f} s in all; at most {children.peak_bytes / 1e9:.2f} GB of memory for all processes together "
        f"(MB: {parts})",
        highlight=False,
    )
    _next(console, settings, page)


def _speed(console: Console, view: View) -> None:
    figures = view.figures
    console.print(
        f"\n[bold]{figures.events:,.0f} events[/] live, best {view.peak:,.0f}/s with broker, loader and worker on this "
        f"machine; {figures.redone:,.0f} before that to build state; from event to committed prediction while catching "
        f"up: p50 {quantile(figures.latency, 0.5)}, p99 {quantile(figures.latency, 0.99)}",
        highlight=False,
    )
    console.print(tallies(figures))


def _examples(console: Console, settings: Settings) -> None:
    console.print("\n[bold]Some interventions, with their reasons[/]")
    shown: dict[str, int] = {}
    for row in _interventions(settings):
        kind = row["kind"]
        if shown.get(kind, 0) >= EACH_KIND:
            continue
        shown[kind] = shown.get(kind, 0) + 1
        payload = {name: value for name, value in row[kind].items() if value not in (None, {}, [])}
        console.print(
            f"  [cyan]{kind}[/] for household {row['user_id']}, campaign {row['campaign']}", highlight=False
        )
        console.print(f"    {row['reason']}", highlight=False, markup=False)
        console.print(f"    {_short(payload)}", style="dim", highlight=False, markup=False)


def _interventions(settings: Settings) -> Iterator[dict[str, Any]]:
    topic, codec = Topics(settings).interventions, Codec(open_registry(settings), "intervention")
    with Log(settings) as log:
        starts = {(topic, number): log.bounds(topic, number)[0] for number in log.partitions(topic)}
        for records in log.read(starts):
            yield from codec.decode_rows([record.value for record in records])


def _short(payload: dict[str, Any]) -> str:
    parts = []
    for name, value in payload.items():
        shown = f"{', '.join(map(str, value[:4]))} … ({len(value)})" if isinstance(value, list) else value
        parts.append(f"{name}: {shown}")
    return "; ".join(parts)


def _next(console: Console, settings: Settings, page: Path) -> None:
    user = next((row["user_id"] for row in _interventions(settings)), "1")
    table = Table(title="where to look next", box=None, title_justify="left", show_header=False)
    table.add_row("why this household", _command(settings, f"why {user}"))
    table.add_row(str(page), "the report of the live months, in a browser")
    table.add_row("streams/app.py", "the live path on one page")
    table.add_row("deploy/policy.yaml", "what the decisions follow")
    table.add_row("docs/producing.md", "how a shop sends its own events")
    console.print(table)
    console.print(
        "The broker of the demo ends with it. To look around in its topics start it again: "
        f"intentflow broker --data .intentflow/demo/broker --port {settings.bootstrap_servers.rpartition(':')[2]}",
        style="dim",
        highlight=False,
    )


def _command(settings: Settings, arguments: str) -> str:
    return f"INTENTFLOW_BOOTSTRAP_SERVERS={settings.bootstrap_servers} .venv/bin/intentflow {arguments}"
