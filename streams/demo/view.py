"""What the worker says of itself while it works: /metrics read twice a second, shown live in the terminal."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text


@dataclass
class Figures:
    """One reading of /metrics. latency: cumulative batches by upper bound in seconds."""

    events: float = 0.0
    redone: float = 0.0
    predictions: float = 0.0
    lag: float = 0.0
    decisions: Counter[tuple[str, str]] = field(default_factory=Counter)
    interventions: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    latency: list[tuple[float, float]] = field(default_factory=list)

    @property
    def accounted(self) -> float:
        """Records the worker is done with: events applied, doubles among them, and dead letters."""
        return self.events + sum(count for reason, count in self.dropped.items() if reason != "double")


def fetch(url: str) -> str:
    """Body of a page of the worker, empty when it does not answer."""
    try:
        with urllib.request.urlopen(url, timeout=5) as page:
            return str(page.read().decode())
    except urllib.error.HTTPError as problem:
        return problem.read().decode()
    except OSError:
        return ""


def ready(url: str) -> bool:
    page = fetch(f"{url}/health")
    return bool(page) and bool(json.loads(page).get("ready"))


def read(url: str) -> Figures:
    """The worker's figures now."""
    figures = Figures()
    for family in text_string_to_metric_families(fetch(f"{url}/metrics")):
        for sample in family.samples:
            _book(figures, sample.name, dict(sample.labels), sample.value)
    return figures


def _book(figures: Figures, name: str, labels: dict[str, str], value: float) -> None:
    match name:
        case "intentflow_events_total":
            figures.events += value
        case "intentflow_redone_total":
            figures.redone += value
        case "intentflow_predictions_total":
            figures.predictions += value
        case "intentflow_lag_records":
            figures.lag += value
        case "intentflow_decisions_total":
            figures.decisions[labels["outcome"], labels["reason"]] += int(value)
        case "intentflow_interventions_total":
            figures.interventions[labels["kind"]] += int(value)
        case "intentflow_dropped_total":
            figures.dropped[labels["reason"]] += int(value)
        case "intentflow_latency_seconds_bucket":
            figures.latency.append((float(labels["le"]), value))


def quantile(buckets: list[tuple[float, float]], share: float) -> str:
    """Quantile of a histogram by linear interpolation within its bucket, as text with its unit."""
    buckets = sorted(buckets)
    if not buckets or buckets[-1][1] == 0:
        return "–"
    wanted, below, low = share * buckets[-1][1], 0.0, 0.0
    for edge, count in buckets:
        if count >= wanted:
            if edge == float("inf"):
                return f"> {low:g} s"
            value = low + (edge - low) * (wanted - below) / max(count - below, 1e-9)
            return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"
        below, low = count, edge
    return "–"


class View:
    """Renders readings; keeps the speed over the last few seconds and the best since the start."""

    def __init__(self, url: str, title: str) -> None:
        self._url, self._title = url, title
        self._history: list[tuple[float, float]] = []
        self.figures = Figures()
        self.note = ""
        self.peak = 0.0

    def refresh(self) -> Figures:
        self.figures = read(self._url)
        now = time.monotonic()
        self._history = [*self._history[-8:], (now, self.figures.events)]
        self.peak = max(self.peak, self.rate)
        return self.figures

    @property
    def rate(self) -> float:
        """Events per second over the last readings."""
        if len(self._history) < 2:
            return 0.0
        (t0, n0), (t1, n1) = self._history[0], self._history[-1]
        return (n1 - n0) / max(t1 - t0, 1e-9)

    def __rich__(self) -> RenderableType:
        figures = self.figures
        head = Table.grid(padding=(0, 3))
        cells = {
            "events": f"{figures.events:,.0f}",
            "events/s": f"{self.rate:,.0f}",
            "lag": f"{figures.lag:,.0f}",
            "latency p50": quantile(figures.latency, 0.5),
            "p99": quantile(figures.latency, 0.99),
            "predictions": f"{figures.predictions:,.0f}",
        }
        head.add_row(*(Text(name, style="dim") for name in cells))
        head.add_row(*(Text(value, style="bold") for value in cells.values()))
        return Group(Text(f"{self._title}  {self.note}", style="bold cyan"), head, tallies(figures))


def tallies(figures: Figures) -> RenderableType:
    """Decisions by reason and interventions by kind, side by side."""
    table = Table.grid(padding=(0, 4))
    decisions = Table("decisions", "reason", "", box=None, pad_edge=False)
    for (outcome, reason), count in figures.decisions.most_common():
        decisions.add_row(outcome, reason, f"{count:,}")
    sent = Table("interventions", "", box=None, pad_edge=False)
    for kind, count in figures.interventions.most_common():
        sent.add_row(kind, f"{count:,}")
    dropped = Table("set aside", "", box=None, pad_edge=False)
    for reason, count in figures.dropped.most_common():
        dropped.add_row(reason, f"{count:,}")
    table.add_row(decisions, sent, dropped if figures.dropped else "")
    return table
